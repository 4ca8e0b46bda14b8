/**
 * What `promise` gives, or is where it is no promise; or the signal's reason when that comes first, or has come. What is waited
 * for goes on, and its failure is nobody's then.
 */
export async function orAborted<T>(promise: T | Promise<T>, signal: AbortSignal): Promise<T> {
  if (!(promise instanceof Promise)) {
    signal.throwIfAborted();
    return promise;
  }
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
