import { mkdir, writeFile } from "node:fs/promises";
import { readPlainFile, removeTree } from "@hawser/files";
import type { KubeletContext } from "../context.ts";
import { removePodFolder, setUpVolumes } from "../volumes/volumes.ts";
import { removePodCgroup } from "./cgroup.ts";
import { hostsFile } from "./hosts-file.ts";
import { etcHostsFile, podFolder, podLogFolder } from "./paths.ts";
import type { BoundPod } from "./pod.ts";
import { podDomain, podHostname } from "./sandbox-config.ts";

/** Largest /etc/hosts of the node that is taken over, bytes. */
const maxHostsBytes = 1024 * 1024;

/** Makes a pod's folders and volumes; by volume name, where each lies. Throws VolumeError. */
export async function setUpPod(context: KubeletContext, pod: BoundPod): Promise<Map<string, string>> {
  await mkdir(podFolder(context.folders, pod.metadata.uid), { recursive: true, mode: 0o750 });
  await mkdir(podLogFolder(context.folders, pod), { recursive: true, mode: 0o755 });
  return setUpVolumes({ ...context, facts: { ...context.facts, podIPs: [] } }, pod);
}

/** Writes what is mounted as /etc/hosts. */
export async function writeHosts(
  { folders, dns }: Pick<KubeletContext, "folders" | "dns">,
  { spec, metadata }: BoundPod,
  ips: string[],
): Promise<void> {
  const nodeHosts = spec.hostNetwork ? await readPlainFile("/etc/hosts", maxHostsBytes).catch(() => "") : "";
  const pod = { spec, metadata };
  const domain = podDomain(pod, dns.clusterDomain);
  const text = hostsFile(spec, { ips, hostname: podHostname(pod), domain, nodeHosts });
  await writeFile(etcHostsFile(folders, metadata.uid), text, { mode: 0o644 });
}

/** Removes all of a pod's files, mounts and cgroups. */
export async function removePodFiles(context: KubeletContext, pod: BoundPod): Promise<void> {
  await removePodFolder(context, pod.metadata.uid);
  await removeTree(podLogFolder(context.folders, pod));
  await removePodCgroup(context, pod);
}
