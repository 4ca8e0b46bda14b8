import { libc } from "./libc.ts";

/**
 * Gives memory that was freed back to the system. After a large image glibc keeps some 20 MB of it, and each fork of
 * ours would copy its page tables. A few milliseconds, off the event loop.
 */
export function trimMemory(): void {
  libc.mallocTrim.async(0, () => undefined);
}
