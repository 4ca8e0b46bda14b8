/**
 * A Kubernetes Status. On the v4 and v5 error channel, kind, apiVersion and metadata are often left out.
 *
 * Source: kubernetes/apimachinery pkg/apis/meta/v1/types.go
 */
export interface Status {
  apiVersion?: "v1";
  kind?: "Status";
  metadata?: Record<string, unknown>;
  status: "Success" | "Failure";
  message?: string;
  reason?: string;
  details?: StatusDetails;
  /** HTTP status code, 100 to 599. */
  code?: number;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  /** A cause's type travels as `reason`. */
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

/** Thrown where a Kubernetes client should see a Status. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    super(status.message ?? status.reason ?? "unknown error", options);
    this.status = status;
  }

  /** HTTP status code; 500 where the Status names none. */
  get code(): number {
    return this.status.code ?? 500;
  }

  get reason(): string {
    return this.status.reason ?? "";
  }
}

/** A resource as error texts name it: `pods`, or `roles.rbac.authorization.k8s.io`. */
export interface GroupResource {
  group?: string;
  resource: string;
}

export function groupResourceName({ group, resource }: GroupResource): string {
  return group ? `${resource}.${group}` : resource;
}

interface Failure {
  code: number;
  reason: string;
  message: string;
  details?: StatusDetails | undefined;
  cause?: unknown;
}

/** A StatusError with the members every API answer carries. */
export function failure({ code, reason, message, details, cause }: Failure): StatusError {
  return new StatusError(
    {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason,
      ...(details && { details }),
      code,
    },
    { cause },
  );
}

// The texts below are those of apimachinery's pkg/api/errors/errors.go: people and scripts match on them.

export function notFound(resource: GroupResource, name: string): StatusError {
  return failure({
    code: 404,
    reason: "NotFound",
    message: `${groupResourceName(resource)} "${name}" not found`,
    details: details(resource, name),
  });
}

export function alreadyExists(resource: GroupResource, name: string): StatusError {
  return failure({
    code: 409,
    reason: "AlreadyExists",
    message: `${groupResourceName(resource)} "${name}" already exists`,
    details: details(resource, name),
  });
}

export function conflict(resource: GroupResource, name: string, why: string): StatusError {
  return failure({
    code: 409,
    reason: "Conflict",
    message: `Operation cannot be fulfilled on ${groupResourceName(resource)} "${name}": ${why}`,
    details: details(resource, name),
  });
}

/** 422. `kind` is the object's kind (`Pod`); `causes` name the fields. */
export function invalid(kind: string, name: string, causes: { field: string; reason: string; message: string }[]) {
  const list = causes.map(({ field, message }) => `${field}: ${message}`);
  const what = list.length === 1 ? list[0] : `[${list.join(", ")}]`;
  return failure({
    code: 422,
    reason: "Invalid",
    message: `${kind} "${name}" is invalid: ${what}`,
    details: { name, kind, causes },
  });
}

export function badRequest(message: string, cause?: unknown): StatusError {
  return failure({ code: 400, reason: "BadRequest", message, cause });
}

export function unauthorized(): StatusError {
  return failure({ code: 401, reason: "Unauthorized", message: "Unauthorized" });
}

export function forbidden(resource: GroupResource, name: string, why: string): StatusError {
  const on = name ? `${groupResourceName(resource)} "${name}"` : groupResourceName(resource);
  return failure({
    code: 403,
    reason: "Forbidden",
    message: `${on} is forbidden: ${why}`,
    details: details(resource, name),
  });
}

export function methodNotAllowed(): StatusError {
  return failure({
    code: 405,
    reason: "MethodNotAllowed",
    message: "the server does not allow this method on the requested resource",
    details: {},
  });
}

/** 410: the resourceVersion asked for was compacted away. */
export function expired(message: string): StatusError {
  return failure({ code: 410, reason: "Expired", message });
}

export function tooManyRequests(message: string, retryAfterSeconds: number): StatusError {
  return failure({ code: 429, reason: "TooManyRequests", message, details: { retryAfterSeconds } });
}

export function internalError(cause: unknown): StatusError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return failure({
    code: 500,
    reason: "InternalError",
    message: `Internal error occurred: ${text}`,
    details: { causes: [{ message: text }] },
    cause,
  });
}

function details({ group, resource }: GroupResource, name: string): StatusDetails {
  return { ...(name && { name }), ...(group && { group }), kind: resource };
}
