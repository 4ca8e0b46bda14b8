import { lastError, libc } from "./libc.ts";

const F_SETFD = 2;

/**
 * Goes on as another program in this same process: execve(2), with this process' environment and standard streams.
 * Only returns by throwing.
 */
export function replaceProcess(program: string, args: string[]): never {
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ""}`);
  for (const standard of [0, 1, 2]) libc.fcntl(standard, F_SETFD, 0); // Node has them closed on exec
  libc.execve(program, [program, ...args, null], [...env, null]);
  throw lastError("execve", program);
}
