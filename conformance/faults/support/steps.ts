// Loaded into a `hawser runtime` before anything else (node --import): every change it makes to the machine becomes a step that
// can be counted, and at which it can be killed. Nothing of the product knows of this.
import childProcess from "node:child_process";
import fs from "node:fs";
import fsPromises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import koffi from "koffi";

/** What the test may ask for: to be killed at this step from now on (never, for 0), or at the first that a pattern matches. */
export interface Arm {
  killAt: number | string;
}
/** What it hears: that it is armed, or the steps taken since. */
export interface Counted {
  steps: string[];
}

let killAt = 0;
let killAtName: RegExp | undefined;
let counting = false;
let steps: string[] = [];

function step(name: string): void {
  if (!counting) return;
  steps.push(name);
  if (steps.length !== killAt && !killAtName?.test(name)) return;
  fs.writeSync(2, `killed at step ${steps.length}: ${name}\n`);
  process.kill(process.pid, "SIGKILL");
}

process.on("message", (message: Arm | "count") => {
  const taken = steps;
  steps = [];
  counting = message !== "count";
  const asked = message === "count" ? 0 : message.killAt;
  killAt = typeof asked === "number" ? asked : 0;
  killAtName = typeof asked === "string" ? new RegExp(asked) : undefined;
  process.send?.({ steps: taken } satisfies Counted);
});
process.channel?.unref();
process.on("disconnect", () => process.kill(process.pid, "SIGKILL")); // the test is gone

type Changing = (...args: unknown[]) => unknown;

/** The last parts of a path, without ids and numbers that differ from run to run. */
function place(argument: unknown): string {
  const text = Buffer.isBuffer(argument) ? argument.toString("latin1") : String(argument);
  return text
    .split(path.sep)
    .slice(-2)
    .join("/")
    .replaceAll(/[0-9a-f]{12,}/g, "ID")
    .slice(0, 80);
}

/** `call` as two steps: before it, and once it is done. */
function around(name: string, call: Changing, isChange: (args: unknown[]) => boolean = () => true): Changing {
  return function (this: unknown, ...args: unknown[]) {
    if (!counting || !isChange(args)) return call.apply(this, args);
    const what = `${name} ${place(args[0])}`;
    step(`before ${what}`);
    const result = call.apply(this, args);
    if (!(result instanceof Promise)) {
      step(`after ${what}`);
      return result;
    }
    return result.then((value: unknown) => {
      step(`after ${what}`);
      return value;
    });
  };
}

const promises = fsPromises as unknown as Record<string, Changing>;
const { rm, readdir, open } = fsPromises;
for (const name of ["mkdir", "writeFile", "rename", "rmdir", "unlink", "copyFile", "chmod", "lchown", "utimes"]) {
  const call = promises[name];
  if (call) promises[name] = around(name, call);
}
promises.open = around("open", open as Changing, ([, flags]) => typeof flags === "string" && flags !== "r");
// A folder's removal is no single step: its entries go one by one.
fsPromises.rm = async (target, options) => {
  if (!counting) return await rm(target, options);
  step(`before rm ${place(target)}`);
  if (options?.recursive) {
    const entries = await readdir(String(target)).catch(() => []);
    for (const name of entries) {
      await rm(path.join(String(target), name), options);
      step(`within rm ${place(target)}: ${place(name)}`);
    }
  }
  await rm(target, options);
  step(`after rm ${place(target)}`);
};
const handle = await open("/dev/null", "r");
const handles = Object.getPrototypeOf(handle) as Record<string, Changing>;
await handle.close();
for (const name of ["write", "writeFile", "datasync", "truncate"]) {
  const call = handles[name];
  if (call) handles[name] = around(`file.${name}`, call);
}

const { spawn, execFile } = childProcess;
childProcess.spawn = around("spawn", spawn as Changing) as typeof spawn;
const ran = promisify(execFile) as unknown as Changing;
const counted = around("execFile", execFile as unknown as Changing);
Object.defineProperty(counted, promisify.custom, { value: around("execFile", ran) });
childProcess.execFile = counted as unknown as typeof execFile;
syncBuiltinESMExports();

/** System calls by FFI that change something. */
const changing = /\b(mount|umount2|mknod|lsetxattr|posix_spawn|sendmsg|waitid|setns|unshare|connect|execve)\(/;
/** What native/starter.ts puts before the program's path. */
const startHeader = 16;

const P_PID = 1;
/** Programs that were asked for, in order, and the children that were looked at: each comes to be looked at once it is its program. */
const asked: string[] = [];
const known = new Set<unknown>();

/**
 * The program of a child that is looked at for the first time: its own name may be another by now, crun's is. An orphan that is looked at
 * meanwhile can make it a neighbour's.
 */
function startedBy([type, pid]: unknown[]): string | undefined {
  if (type !== P_PID || known.has(pid)) return undefined;
  known.add(pid);
  return asked.shift();
}

/** The program that a message asks to be started, or undefined: that is another message. */
function programOf(message: Buffer): string | undefined {
  const read = (address: bigint, bytes: number) => Buffer.from(koffi.view(address, bytes));
  const vector = read(message.readBigUInt64LE(16), 16);
  const length = Number(vector.readBigUInt64LE(8));
  if (length <= startHeader) return undefined;
  const packet = read(vector.readBigUInt64LE(0), length);
  return packet.toString("utf8", startHeader, packet.indexOf(0, startHeader));
}
const load = koffi.load.bind(koffi);
(koffi as unknown as { load: unknown }).load = (name: string | null) => {
  const library = load(name);
  const func = library.func.bind(library) as (prototype: string, ...rest: unknown[]) => Changing;
  return new Proxy(library, {
    get(target, member) {
      if (member !== "func") return Reflect.get(target, member) as unknown;
      return (prototype: string, ...rest: unknown[]) => {
        const call = func(prototype, ...rest);
        const found = changing.exec(prototype)?.[1];
        if (!found) return call;
        const at = found === "posix_spawn" || found === "mount" ? 1 : 0;
        const nameOf = (args: unknown[]): string | undefined => {
          if (found !== "sendmsg") return `${found} ${place(args[at] ?? "")}`;
          const program = programOf(args[1] as Buffer);
          if (program === undefined) return undefined;
          asked.push(program);
          return `start ${place(program)}`;
        };
        return new Proxy(call, {
          get(inner, property) {
            const member: unknown = Reflect.get(inner, property);
            if (property !== "async" || found === "waitid") return member;
            return (...args: unknown[]) => {
              const name = `${found} ${place(args[at] ?? "")}`;
              const done = args.pop() as Changing;
              step(`before ${name}`);
              (member as Changing).call(inner, ...args, (...results: unknown[]) => {
                step(`after ${name}`);
                done(...results);
              });
            };
          },
          apply(inner, self, args: unknown[]) {
            if (found === "waitid") {
              const program = startedBy(args);
              if (program !== undefined) step(`started ${place(program)}`);
              return Reflect.apply(inner, self, args) as unknown;
            }
            const name = nameOf(args);
            if (name) step(`before ${name}`);
            const result: unknown = Reflect.apply(inner, self, args);
            if (name) step(`after ${name}`);
            return result;
          },
        });
      };
    },
  });
};
