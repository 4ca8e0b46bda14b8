/**
 * gRPC status codes, by number.
 *
 * Source: grpc/grpc doc/statuscodes.md
 */
export const Code = {
  OK: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

const names = new Map<number, string>(Object.entries(Code).map(([name, code]) => [code, name]));

/** The code's name as Go prints it ("NotFound"); `Code(77)` for one we do not know. */
export function codeName(code: number): string {
  return names.get(code) ?? `Code(${code})`;
}

/** What a CRI call fails with, on both sides of the socket: a gRPC code and a text. */
export class CRIError extends Error {
  override readonly name = "CRIError";
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Is this the "no such thing" of a CRI call? */
export function isNotFound(error: unknown): boolean {
  return error instanceof CRIError && error.code === Code.NotFound;
}

/** Does the runtime not have this method? */
export function isUnimplemented(error: unknown): boolean {
  return error instanceof CRIError && error.code === Code.Unimplemented;
}

/** The text as Go's gRPC errors print it: `rpc error: code = NotFound desc = …`. People know it from events. */
export function rpcErrorText(error: unknown): string {
  if (error instanceof CRIError) return `rpc error: code = ${codeName(error.code)} desc = ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
