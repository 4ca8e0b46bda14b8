import type { ServerResponse } from "node:http";
import type { KubernetesObject, WatchEvent } from "@hawser/api";
import { drained, statusOf } from "../http/respond.ts";
import { apiVersionOf, storedKind } from "../registry/kind.ts";
import { listObjects } from "../registry/list.ts";
import { selectionOf } from "../registry/select.ts";
import { type ObjectWatch, watchObjects } from "../registry/watch.ts";
import type { Response } from "../request.ts";
import { type ListQueryOptions, listOptions, revisionOf } from "./query.ts";
import { tableOf } from "./table.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { transformObject } from "./transform.ts";

/** How often a bookmark is sent to those who want them, milliseconds. */
const bookmarkInterval = 60_000;
/** A watch without timeoutSeconds lasts this long and up to twice as long, seconds; kube-apiserver's --min-request-timeout. */
const minTimeout = 1800;

/** What a timer can wait for, milliseconds. */
const maxTimer = 2 ** 31 - 1;

/**
 * A watch: events as lines of JSON until its time is up, the client goes, or the server stops.
 * Throws StatusError when it cannot begin; later errors are its last event.
 */
export async function watch({ store }: EndpointDeps, target: Target, response: Response): Promise<void> {
  const { kind, context } = target;
  const options = listOptions(context.url.searchParams, true);
  const selection = selectionOf(kind, options);
  const { namespace } = context.info;
  const seconds = options.timeoutSeconds || minTimeout * (1 + Math.random());
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(Math.min(Math.ceil(seconds * 1000), maxTimer))]);
  const asked = revisionOf(options.resourceVersion);
  const initial = wantsInitialEvents(options, asked)
    ? await listObjects(store, storedKind(kind), { namespace, selection, notOlderThan: asked, signal })
    : undefined;
  const after = initial?.revision ?? (asked || (await store.storage.revision()));
  const events = watchObjects(store, storedKind(kind), { namespace, selection, after, signal });

  begin(response, target.representation.mediaType);
  const write = writer(target, response, signal);
  for (const object of initial?.items ?? []) await write({ type: "ADDED", object });
  if (options.sendInitialEvents && options.allowWatchBookmarks) await write(bookmark(target, after, true));
  await follow({ target, write, events, signal, bookmarks: options.allowWatchBookmarks });
  (response as ServerResponse).end();
}

/** Without a resourceVersion, or from any, a watch first tells what there is. */
function wantsInitialEvents({ sendInitialEvents }: ListQueryOptions, asked: number): boolean {
  return sendInitialEvents ?? asked === 0;
}

type Write = (event: WatchEvent) => Promise<void>;

interface Following {
  target: Target;
  write: Write;
  events: ObjectWatch;
  signal: AbortSignal;
  bookmarks: boolean;
}

async function follow({ target, write, events, signal, bookmarks }: Following): Promise<void> {
  // Events and bookmarks take turns: a bookmark in between two events of one batch would claim too much.
  let writing: Promise<void> = Promise.resolve();
  const inTurn = (body: () => Promise<void>) => {
    writing = writing.then(body);
    return writing;
  };
  const timer = setInterval(() => {
    inTurn(() => write(bookmark(target, events.revision))).catch(() => {}); // the loop below meets the same error
  }, bookmarkInterval).unref();
  if (!bookmarks) clearInterval(timer);
  try {
    for await (const batch of events) {
      await inTurn(async () => {
        for (const event of batch) {
          if (signal.aborted) return;
          await write(event);
        }
      });
    }
  } catch (error) {
    target.context.log.at(2, "watch ended by an error", { error });
    await inTurn(() => write({ type: "ERROR", object: { kind: "Status", apiVersion: "v1", ...statusOf(error) } }));
  } finally {
    clearInterval(timer);
  }
}

function begin(response: Response, mediaType: string): void {
  const plain = response as ServerResponse;
  plain.writeHead(200, {
    "Audit-Id": crypto.randomUUID(),
    "Cache-Control": "no-cache, private",
    "Content-Type": mediaType,
  });
  plain.flushHeaders();
}

/** Writes one event and waits while the client does not read, but no longer than the watch lasts. */
function writer(target: Target, response: Response, signal: AbortSignal): Write {
  const plain = response as ServerResponse;
  let first = true;
  return async (event) => {
    if (plain.destroyed || plain.writableEnded || signal.aborted) return;
    const shown =
      event.type === "ERROR" ? event : { type: event.type, object: shownObject(target, event.object, first) };
    first = false;
    if (!plain.write(`${JSON.stringify(shown)}\n`)) await drained(response, signal);
  };
}

function shownObject(target: Target, object: KubernetesObject, first: boolean): unknown {
  const { kind, representation, context } = target;
  if (representation.as?.kind !== "Table") return transformObject(target, object);
  const metadata = { resourceVersion: object.metadata?.resourceVersion ?? "" };
  const options = { kind, version: representation.as.version, query: context.url.searchParams, withoutColumns: !first };
  return tableOf(options, [object], metadata);
}

function bookmark({ kind }: Target, revision: number, initialEnd = false): WatchEvent {
  return {
    type: "BOOKMARK",
    object: {
      kind: kind.kind,
      apiVersion: apiVersionOf(kind),
      metadata: {
        resourceVersion: String(revision),
        ...(initialEnd && { annotations: { "k8s.io/initial-events-end": "true" } }),
      },
    },
  };
}
