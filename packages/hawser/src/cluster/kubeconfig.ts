import { mkdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { type Document, isMap, isSeq, parseDocument } from "yaml";

/** Name of our cluster, context and user in a shared kubeconfig. */
const entryName = "hawser";
const lists = ["clusters", "contexts", "users"] as const;

/** The file kubectl reads when told nothing: the first of $KUBECONFIG, else ~/.kube/config. */
export function defaultKubeconfig(env: NodeJS.ProcessEnv = process.env): string {
  return env.KUBECONFIG?.split(delimiter).find(Boolean) ?? join(env.HOME ?? homedir(), ".kube", "config");
}

/** What `down` must know to take the entries out again. */
export interface MergedKubeconfig {
  path: string;
  /** The current context there was before. */
  previousContext?: string | undefined;
}

/**
 * Puts the cluster of `source` into the kubeconfig `target` as context `hawser` and makes it the current one. Everything
 * else there stays, comments too. The file is replaced in one step and readable by its owner alone.
 * Throws when `target` is not a kubeconfig: then nothing is changed.
 */
export async function mergeKubeconfig(source: string, target: string): Promise<MergedKubeconfig> {
  const ours = parseDocument(await readFile(source, "utf8"));
  const path = await realpath(target).catch(() => target);
  const theirs = await readKubeconfig(path);
  if (!theirs.has("apiVersion")) theirs.set("apiVersion", "v1");
  if (!theirs.has("kind")) theirs.set("kind", "Config");
  for (const list of lists) {
    const entry = ours.toJS()[list]?.[0];
    if (!entry) throw new Error(`${source} has no ${list}`);
    const renamed = { ...entry, name: entryName };
    if (list === "contexts") renamed.context = { ...entry.context, cluster: entryName, user: entryName };
    removeEntry(theirs, list);
    if (!isSeq(theirs.get(list))) theirs.set(list, theirs.createNode([]));
    theirs.addIn([list], theirs.createNode(renamed));
  }
  const current = theirs.get("current-context");
  theirs.set("current-context", entryName);
  await replaceFile(path, theirs);
  return { path, ...(typeof current === "string" && current && current !== entryName && { previousContext: current }) };
}

/**
 * Takes the context out again and gives back the current context there was. Does nothing where the file is gone, or
 * where the entry `hawser` is another cluster's by now, which its CA shows.
 */
export async function unmergeKubeconfig(source: string, { path, previousContext }: MergedKubeconfig): Promise<void> {
  const [ours, theirs] = await Promise.all([readKubeconfig(source), readKubeconfig(path)]);
  const ca = certificateAuthority(ours, () => true);
  if (!ca || certificateAuthority(theirs, (name) => name === entryName) !== ca) return;
  for (const list of lists) removeEntry(theirs, list);
  if (theirs.get("current-context") === entryName) theirs.set("current-context", previousContext ?? "");
  await replaceFile(path, theirs);
}

function certificateAuthority(document: Document, wanted: (name: unknown) => boolean): string | undefined {
  const clusters = document.get("clusters");
  if (!isSeq(clusters)) return undefined;
  const entry = clusters.items.find((item) => isMap(item) && wanted(item.get("name")));
  const data = isMap(entry) ? entry.getIn(["cluster", "certificate-authority-data"]) : undefined;
  return typeof data === "string" ? data : undefined;
}

async function readKubeconfig(path: string): Promise<Document> {
  const text = await readFile(path, "utf8").catch((err: NodeJS.ErrnoException) => {
    if (err.code === "ENOENT") return "{}";
    throw err;
  });
  const document = parseDocument(text.trim() ? text : "{}");
  const [error] = document.errors;
  if (error) throw new Error(`${path} is not YAML: ${error.message}`, { cause: error });
  if (!isMap(document.contents)) throw new Error(`${path} is not a kubeconfig: it holds no mapping`);
  document.contents.flow = false;
  return document;
}

function removeEntry(document: Document, list: string): boolean {
  const entries = document.get(list);
  if (!isSeq(entries)) return false;
  const before = entries.items.length;
  entries.items = entries.items.filter((item) => !isMap(item) || item.get("name") !== entryName);
  if (entries.items.length > 0) entries.flow = false;
  return entries.items.length < before;
}

/** Whether the file has its lists a step further in, unlike those that kubectl writes. */
function indentsLists(text: string): boolean {
  return /^(clusters|contexts|users):[^\S\n]*\n +- /m.test(text);
}

async function replaceFile(path: string, document: Document): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const next = `${path}.hawser-${process.pid}`;
  try {
    const indentSeq = await readFile(path, "utf8").then(indentsLists, () => false);
    await writeFile(next, document.toString({ lineWidth: 0, indentSeq }), { mode: 0o600, flag: "wx" });
    await rename(next, path);
  } catch (err) {
    await rm(next, { force: true });
    throw err;
  }
}
