import { lastError, libc } from "./libc.ts";

const F_SETFD = 2;

/**
 * Goes on as another program in this same process: execve(2), with this process' environment, standard streams, and what else to
 * `keep` of its descriptors.
 * Only returns by throwing.
 */
export function replaceProcess(program: string, args: string[], { keep = [] }: { keep?: number[] } = {}): never {
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ""}`);
  for (const fd of [0, 1, 2, ...keep]) libc.fcntl(fd, F_SETFD, 0); // Node has them closed on exec
  libc.execve(program, [program, ...args, null], [...env, null]);
  throw lastError("execve", program);
}
