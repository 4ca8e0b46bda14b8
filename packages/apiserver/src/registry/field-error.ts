// What is wrong with one field, in the real server's words. Source: kubernetes/apimachinery pkg/util/validation/field/errors.go

/** One cause of an Invalid answer. */
export interface FieldError {
  field: string;
  reason: string;
  message: string;
}

export function required(field: string, detail = ""): FieldError {
  return { field, reason: "FieldValueRequired", message: `Required value${detail && `: ${detail}`}` };
}

export function invalidValue(field: string, value: unknown, detail: string): FieldError {
  return { field, reason: "FieldValueInvalid", message: `Invalid value: ${shown(value)}: ${detail}` };
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = supported.toSorted().map((one) => JSON.stringify(one));
  const message = `Unsupported value: ${shown(value)}: supported values: ${list.join(", ")}`;
  return { field, reason: "FieldValueNotSupported", message };
}

export function forbiddenField(field: string, detail: string): FieldError {
  return { field, reason: "FieldValueForbidden", message: `Forbidden: ${detail}` };
}

export function duplicate(field: string, value: unknown): FieldError {
  return { field, reason: "FieldValueDuplicate", message: `Duplicate value: ${shown(value)}` };
}

export function notFoundField(field: string, value: unknown): FieldError {
  return { field, reason: "FieldValueNotFound", message: `Not found: ${shown(value)}` };
}

export function immutable(field: string, value: unknown): FieldError {
  return invalidValue(field, value, "field is immutable");
}

function shown(value: unknown): string {
  return value === undefined ? "null" : JSON.stringify(value);
}
