import { readSync } from "node:fs";
import { closeQuietly, lastError, libc } from "./libc.ts";

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

/**
 * A right that several processes have at hand and one of them takes, once: an eventfd(2) that holds 1, until somebody reads it.
 */
export interface Token extends Disposable {
  /** For the other process. */
  fd: number;
  /** True for the one that takes it. Its bytes are in the kernel: this waits for nobody. */
  take(): boolean;
}

export function openToken(): Token {
  const fd = libc.eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw lastError("eventfd", "");
  return {
    fd,
    take() {
      try {
        return readSync(fd, Buffer.alloc(8)) === 8;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
        throw error;
      }
    },
    [Symbol.dispose]: () => closeQuietly(fd),
  };
}
