/**
 * What all of these promises come to, as by Promise.all, but only when each has come to its end: nobody is at work any more when
 * this rejects, with the reason of the first of them that failed.
 */
export async function allAtTheirEnd<T extends readonly unknown[] | []>(
  promises: T,
): Promise<{ -readonly [P in keyof T]: Awaited<T[P]> }> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}
