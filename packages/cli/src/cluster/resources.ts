import { StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { ExitError } from "../errors.ts";
import { knownTypes, type ResourceType } from "./known-types.ts";

export type { ResourceType };

/** `pods`, `pod`, `po`, `Pod`, `deployments.apps`, `deployments.v1.apps`. */
interface TypeName {
  name: string;
  group: string | undefined;
  version: string | undefined;
}

/**
 * The type people mean by a word. Asks for the server's discovery only when the word is none of the known ones.
 * Throws ExitError, in kubectl's words, for a type the server does not have.
 */
export async function findType(client: Pick<KubeClient, "request">, word: string): Promise<ResourceType> {
  const known = knownTypes.find((type) => readings(word).some((reading) => matches(type, reading)));
  if (known) return { ...known, asked: word };
  const types = await discover(client);
  for (const reading of readings(word)) {
    const found = types.find((type) => matches(type, reading));
    if (found) return { ...found, asked: word };
  }
  throw noSuchType(word);
}

/** The types of a category: `all`. None where it is no category. */
export async function findCategory(client: Pick<KubeClient, "request">, word: string): Promise<ResourceType[]> {
  if (word !== "all") return [];
  return (await discover(client)).filter(({ categories }) => categories.includes(word));
}

/** The type of an object, by its apiVersion and kind. */
export async function findKind(
  client: Pick<KubeClient, "request">,
  { apiVersion, kind }: { apiVersion: string; kind: string },
): Promise<ResourceType> {
  const same = (type: ResourceType) => type.apiVersion === apiVersion && type.kind === kind;
  const found = knownTypes.find(same) ?? (await discover(client, apiVersion)).find(same);
  if (found) return found;
  throw new ExitError(
    `error: resource mapping not found for kind: no matches for kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}\nensure CRDs are installed first`,
  );
}

/** Names the type without its group, as kubectl does. */
export function noSuchType(word: string): ExitError {
  return new ExitError(`error: the server doesn't have a resource type ${JSON.stringify(word.split(".")[0])}`);
}

/** True for the answer to a path that the server does not serve, unlike that to an object that is not there. */
export function isUnservedPath(error: unknown): boolean {
  return (
    error instanceof StatusError && error.code === 404 && !error.status.details?.name && !error.status.details?.kind
  );
}

/** `pod`, or `deployment.apps`: how messages name one of a type. */
export function kindName({ apiVersion, kind }: Pick<ResourceType, "apiVersion" | "kind">): string {
  const group = groupOf(apiVersion);
  return group ? `${kind.toLowerCase()}.${group}` : kind.toLowerCase();
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
}

/** A word with dots may be a name with a group, or with a version and a group. */
function readings(word: string): TypeName[] {
  const [name = "", second, ...rest] = word.toLowerCase().split(".");
  if (second === undefined) return [{ name, group: undefined, version: undefined }];
  const plain = { name, group: [second, ...rest].join("."), version: undefined };
  return /^v\d/.test(second) ? [{ name, version: second, group: rest.join(".") }, plain] : [plain];
}

function matches(type: ResourceType, { name, group, version }: TypeName): boolean {
  if (name !== type.resource && name !== type.singular && !type.shortNames.includes(name)) return false;
  const [typeGroup, typeVersion] = type.apiVersion.includes("/") ? type.apiVersion.split("/") : ["", type.apiVersion];
  return (group === undefined || group === typeGroup) && (version === undefined || version === typeVersion);
}

interface APIResourceList {
  groupVersion: string;
  resources?: {
    name: string;
    singularName?: string;
    kind: string;
    namespaced: boolean;
    shortNames?: string[];
    categories?: string[];
  }[];
}
interface APIGroupList {
  groups?: { name: string; preferredVersion?: { groupVersion: string }; versions: { groupVersion: string }[] }[];
}

/** All types of the core group and of each group's preferred version; or those of one version. */
async function discover(client: Pick<KubeClient, "request">, only?: string): Promise<ResourceType[]> {
  const versions = only ? [only] : ["v1", ...(await preferredVersions(client))];
  const lists = await Promise.all(versions.map((version) => resourcesOf(client, version)));
  return lists.flat();
}

async function preferredVersions(client: Pick<KubeClient, "request">): Promise<string[]> {
  const list = (await client.request({ method: "GET", path: "/apis" })) as APIGroupList; // what every API server answers
  return (list.groups ?? []).map(
    ({ preferredVersion, versions }) => (preferredVersion ?? versions[0])?.groupVersion ?? "",
  );
}

async function resourcesOf(client: Pick<KubeClient, "request">, apiVersion: string): Promise<ResourceType[]> {
  const path = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  try {
    const list = (await client.request({ method: "GET", path })) as APIResourceList; // what every API server answers
    return (list.resources ?? [])
      .filter(({ name }) => !name.includes("/"))
      .map(({ name, singularName, kind, namespaced, shortNames = [], categories = [] }) => ({
        apiVersion,
        resource: name,
        singular: singularName || kind.toLowerCase(),
        kind,
        namespaced,
        shortNames,
        categories,
      }));
  } catch (error) {
    // A group whose server is away must not hide the others.
    if (error instanceof StatusError && [404, 503].includes(error.code)) return [];
    throw error;
  }
}
