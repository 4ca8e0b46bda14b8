import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { silentLogger } from "@hawser/trace";
import { namespaces } from "../registry/core/namespace.ts";
import { configMaps } from "../registry/core/plain.ts";
import { deleteObject } from "../registry/delete.ts";
import { kinds } from "../registry/kinds.ts";
import { ObjectCache } from "../registry/object-cache.ts";
import { createObject, getObject, type StoreDeps } from "../registry/store.ts";
import { openSQLite } from "../storage/sqlite.ts";
import type { Storage } from "../storage/storage.ts";
import { startNamespaceController } from "./namespace.ts";

test("a watch that breaks takes its round's other watches with it, and namespaces are emptied all the same", async () => {
  await using storage = openSQLite({ path: ":memory:" });
  const watched = 1 + kinds.filter(({ namespaced, view }) => namespaced && !view).length;
  const opened: AbortSignal[] = [];
  const second = Promise.withResolvers<void>();
  const breaking: Storage["watch"] = (prefix, options) => {
    opened.push(options.signal);
    if (opened.length === 5) throw new Error("the disk is out of order");
    if (opened.length === 2 * watched) second.resolve();
    return storage.watch(prefix, options);
  };
  const store: StoreDeps = {
    storage: new Proxy(storage, {
      get: (target, name) => {
        if (name === "watch") return breaking;
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      },
    }),
    cache: new ObjectCache(),
    now: () => new Date(),
    newUID: randomUUID,
  };
  await createObject(store, namespaces, { metadata: { name: "old" } }, { namespace: "" });
  await createObject(store, configMaps, { metadata: { name: "c" } }, { namespace: "old" });
  await using _controller = startNamespaceController({ store, log: silentLogger, retryAfter: 1 });
  await second.promise;
  assert.equal(opened.filter(({ aborted }) => !aborted).length, watched);
  const after = await storage.revision();
  await deleteObject(store, namespaces, { namespace: "", name: "old" });
  const over = new AbortController();
  for await (const _ of storage.watch("/registry/namespaces/", { after, signal: over.signal })) {
    const found = await getObject(store, namespaces, { namespace: "", name: "old" }).catch(() => undefined);
    if (!found) break;
  }
  assert.deepEqual((await storage.list({ prefix: "/registry/configmaps/" })).items, []);
});
