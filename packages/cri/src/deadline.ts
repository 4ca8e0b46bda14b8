import type { ServerInterceptingCall, ServerInterceptor } from "@grpc/grpc-js";

/** The longest a timer can be, and so the longest deadline grpc-js keeps to, milliseconds: 24.8 days. */
export const maxDeadlineMs = 2 ** 31 - 1;

/**
 * Leaves deadlines to the clients, who cancel what is over. grpc-js counts a client's in 32 bits, so that one of a month, which
 * StopContainer has for a pod with so long a grace, were over at once.
 *
 * Source: grpc-js 1.13 and later, server-interceptors.js, handleTimeoutHeader
 */
export const clientsDeadline: ServerInterceptor = (_method, call) => {
  // The timer is a private field; where it is called otherwise one day, deadline.test.ts fails.
  const { deadlineTimer } = call as unknown as { deadlineTimer?: NodeJS.Timeout | null };
  clearTimeout(deadlineTimer ?? undefined);
  return call as ServerInterceptingCall; // as it was: the type has a wrapper's fields, which nobody needs
};
