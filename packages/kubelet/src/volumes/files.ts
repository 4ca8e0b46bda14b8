import { chmod, chown, mkdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { removeTree } from "@hawser/files";
import { fieldValue, objectData, resourceValue } from "../pods/environment.ts";
import { volumeFolder } from "../pods/paths.ts";
import type { BoundPod } from "../pods/pod.ts";
import { type VolumeContext, VolumeError, type VolumeRequest } from "./plugin.ts";

interface File {
  content: string | Buffer;
  mode: number;
}
type Files = Map<string, File>;

interface Item {
  key: string;
  path: string;
  mode?: number;
}

/**
 * configMap, secret, downwardAPI and projected volumes: files written once, when the pod starts. Later changes
 * of the objects do not reach a running pod.
 */
export async function fileVolume(context: VolumeContext, request: VolumeRequest): Promise<string> {
  const { pod, volume } = request;
  const { configMap, secret, downwardAPI, projected } = volume;
  const files: Files = new Map();
  let plugin = "kubernetes.io~projected";
  if (configMap) {
    plugin = "kubernetes.io~configmap";
    await addObject(context, files, pod, { kind: "configmaps", ...configMap, mode: configMap.defaultMode });
  } else if (secret) {
    plugin = "kubernetes.io~secret";
    await addObject(context, files, pod, {
      kind: "secrets",
      name: secret.secretName,
      ...secret,
      mode: secret.defaultMode,
    });
  } else if (downwardAPI) {
    plugin = "kubernetes.io~downward-api";
    addDownward(context, files, pod, { items: downwardAPI.items, mode: downwardAPI.defaultMode });
  } else {
    const mode = projected?.defaultMode;
    for (const source of projected?.sources ?? []) {
      if (source.configMap) await addObject(context, files, pod, { kind: "configmaps", ...source.configMap, mode });
      else if (source.secret) await addObject(context, files, pod, { kind: "secrets", ...source.secret, mode });
      else if (source.downwardAPI) addDownward(context, files, pod, { items: source.downwardAPI.items, mode });
      else if (source.serviceAccountToken) await addToken(context, files, pod, { ...source.serviceAccountToken, mode });
      else throw new VolumeError(`projected volume source ${Object.keys(source).join(", ")} is not supported`);
    }
  }
  const folder = volumeFolder(context.folders, pod.metadata.uid, plugin, volume.name);
  await writeFiles(folder, files, pod.spec.securityContext?.fsGroup);
  return folder;
}

interface ObjectSource {
  kind: "configmaps" | "secrets";
  name?: string | undefined;
  items?: Item[];
  optional?: boolean;
  mode?: number | undefined;
}

async function addObject(context: VolumeContext, files: Files, pod: BoundPod, source: ObjectSource): Promise<void> {
  const { kind, name = "", items, optional, mode = 0o644 } = source;
  const data = await objectData(context, { kind, namespace: pod.metadata.namespace, name });
  if (!data) {
    if (optional) return;
    throw new VolumeError(`${kind.slice(0, -1)} "${name}" not found`);
  }
  const wanted: Item[] = items ?? Object.keys(data).map((key) => ({ key, path: key }));
  for (const item of wanted) {
    const content = data[item.key];
    if (content === undefined) {
      if (optional) continue;
      throw new VolumeError(`references non-existent ${kind.slice(0, -1)} key: ${item.key}`);
    }
    files.set(item.path, { content, mode: item.mode ?? mode });
  }
}

interface DownwardSource {
  items?:
    | {
        path: string;
        mode?: number;
        fieldRef?: { fieldPath: string };
        resourceFieldRef?: { resource: string; divisor?: string; containerName?: string };
      }[]
    | undefined;
  mode?: number | undefined;
}

function addDownward(
  { facts }: VolumeContext,
  files: Files,
  pod: BoundPod,
  { items = [], mode = 0o644 }: DownwardSource,
): void {
  for (const item of items) {
    const [first] = pod.spec.containers;
    if (!item.fieldRef && !(item.resourceFieldRef && first)) continue;
    const content = item.fieldRef
      ? fieldValue(pod, item.fieldRef.fieldPath, facts)
      : first && item.resourceFieldRef
        ? resourceValue(pod, first, item.resourceFieldRef, facts)
        : "";
    files.set(item.path, { content, mode: item.mode ?? mode });
  }
}

interface TokenSource {
  path: string;
  audience?: string;
  expirationSeconds?: number;
  mode?: number | undefined;
}

async function addToken({ client }: VolumeContext, files: Files, pod: BoundPod, source: TokenSource): Promise<void> {
  const { namespace, name, uid } = pod.metadata;
  const account = pod.spec.serviceAccountName || "default";
  const answer = (await client.request({
    method: "POST",
    repeatable: true, // a token that nobody gets runs out
    path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(account)}/token`,
    body: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {
        audiences: source.audience ? [source.audience] : [],
        expirationSeconds: source.expirationSeconds ?? 3600,
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
      },
    },
  })) as { status?: { token?: string } };
  if (!answer.status?.token) throw new VolumeError(`no token for service account "${account}"`);
  files.set(source.path, { content: answer.status.token, mode: source.mode ?? 0o644 });
}

/** Writes beside the volume and moves it in whole, so that a container never sees half of it. */
async function writeFiles(folder: string, files: Files, group: number | undefined): Promise<void> {
  const fresh = `${folder}.new`;
  await removeTree(fresh);
  await mkdir(fresh, { recursive: true, mode: 0o755 });
  for (const [name, { content, mode }] of files) {
    const file = path.join(fresh, name);
    if (path.isAbsolute(name) || !file.startsWith(`${fresh}/`) || name.split("/").includes("..")) {
      throw new VolumeError(`file name ${JSON.stringify(name)} leads out of the volume`);
    }
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
    if (group !== undefined) await chown(file, 0, group);
    await chmod(file, group === undefined ? mode : mode | 0o040);
  }
  await removeTree(folder);
  await rename(fresh, folder);
}
