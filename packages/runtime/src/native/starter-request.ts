import { devNull } from "./null-device.ts";
import type { Command } from "./spawn.ts";

/** A command with its arguments and environment, bytes. Larger ones are not asked for here. native/starter.c */
const maxRequestBytes = 64 * 1024;
/** Descriptors of one program. native/starter.c */
const maxStreams = 8;
/** How a program sees the host. native/starter.c */
const views = { asItIs: 0, withoutUnified: 1, ofNamespace: 2 } as const;

/**
 * How the program is to see the host: by a mount namespace, or without the v2 half of the cgroups, with the mounts of this
 * moment.
 */
export type Sight = { namespace: number } | "without unified";

export type Started = Command & { sight?: Sight | undefined };

/** It was not asked: somebody else may start the program. */
export class NotAskedError extends Error {
  override readonly name = "NotAskedError";
}

/** As native/starter.c takes it: one packet, and the descriptors that go with it. */
export interface StartRequest {
  packet: Buffer;
  descriptors: number[];
}

/** Throws when there is a NUL in it, which would end a string early; NotAskedError for more than the starter takes. */
export function encodeStart({ path, args, name, env, stdio, cwd, sight }: Started): StartRequest {
  const variables = Object.entries(env ?? {}).map(([key, value]) => `${key}=${value}`);
  const strings = [path, cwd ?? "", name ?? path, ...args, ...variables];
  if (strings.some((text) => text.includes("\0"))) throw new Error(`${path}: a NUL among its arguments`);
  const text = Buffer.from(`${strings.join("\0")}\0`);
  const header = Buffer.alloc(16);
  if (text.length + header.length > maxRequestBytes || stdio.length > maxStreams)
    throw new NotAskedError(`too much: ${path}`);
  const view =
    sight === undefined ? views.asItIs : sight === "without unified" ? views.withoutUnified : views.ofNamespace;
  for (const [index, value] of [stdio.length, 1 + args.length, variables.length, view].entries()) {
    header.writeUInt32LE(value, 4 * index);
  }
  const descriptors = stdio.map((fd) => (fd < 0 ? devNull() : fd));
  if (typeof sight === "object") descriptors.push(sight.namespace);
  return { packet: Buffer.concat([header, text]), descriptors };
}
