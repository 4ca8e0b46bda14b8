import { badRequest, booleanParameter, failure, invalid } from "@hawser/api";
import { type FieldError, forbiddenField, notSupported } from "../registry/field-error.ts";

/** The query of a list or watch. Source: kubernetes/apimachinery pkg/apis/meta/internalversion/validation/validation.go */
export interface ListQueryOptions {
  labelSelector: string;
  fieldSelector: string;
  limit: number;
  continue: string;
  resourceVersion: string;
  resourceVersionMatch: string;
  allowWatchBookmarks: boolean;
  sendInitialEvents: boolean | undefined;
  /** 0: not said. */
  timeoutSeconds: number;
}

/** Throws StatusError 400 or 422. */
export function listOptions(query: URLSearchParams, watch: boolean): ListQueryOptions {
  const text = (name: string) => query.get(name) ?? "";
  const initial = query.get("sendInitialEvents");
  const options: ListQueryOptions = {
    labelSelector: text("labelSelector"),
    fieldSelector: text("fieldSelector"),
    limit: integer(query, "limit"),
    continue: text("continue"),
    resourceVersion: text("resourceVersion"),
    resourceVersionMatch: text("resourceVersionMatch"),
    allowWatchBookmarks: booleanParameter(query, "allowWatchBookmarks"),
    sendInitialEvents: initial === null ? undefined : booleanParameter(query, "sendInitialEvents"),
    timeoutSeconds: integer(query, "timeoutSeconds"),
  };
  const errors = validate(options, watch);
  if (errors.length > 0) throw invalid("ListOptions.meta.k8s.io", "", errors);
  return options;
}

function validate(options: ListQueryOptions, watch: boolean): FieldError[] {
  const { resourceVersionMatch: match, resourceVersion, sendInitialEvents } = options;
  const errors: FieldError[] = [];
  if (sendInitialEvents !== undefined) {
    if (!watch) return [forbiddenField("sendInitialEvents", "sendInitialEvents is forbidden for list")];
    if (match !== "NotOlderThan") {
      const text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
      errors.push(
        match === ""
          ? forbiddenField("resourceVersionMatch", text)
          : notSupported("resourceVersionMatch", match, ["NotOlderThan"]),
      );
    }
    return errors;
  }
  if (match === "") return errors;
  if (watch)
    return [
      forbiddenField(
        "resourceVersionMatch",
        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
      ),
    ];
  if (resourceVersion === "") {
    errors.push(
      forbiddenField("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
    );
  }
  if (options.continue !== "")
    errors.push(forbiddenField("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
  if (match !== "Exact" && match !== "NotOlderThan")
    errors.push(notSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan"]));
  if (match === "Exact" && resourceVersion === "0") {
    errors.push(
      forbiddenField("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
    );
  }
  return errors;
}

/** A resourceVersion as a revision; 0 for none. Throws StatusError 400. */
export function revisionOf(resourceVersion: string): number {
  if (resourceVersion === "") return 0;
  if (!/^\d{1,15}$/.test(resourceVersion)) {
    const why = `strconv.ParseUint: parsing ${JSON.stringify(resourceVersion)}: invalid syntax`;
    throw invalid("", "", [
      {
        field: "resourceVersion",
        reason: "FieldValueInvalid",
        message: `Invalid value: ${JSON.stringify(resourceVersion)}: ${why}`,
      },
    ]);
  }
  return Number(resourceVersion);
}

export function isDryRun(query: URLSearchParams): boolean {
  const values = query.getAll("dryRun");
  const strange = values.find((value) => value !== "All");
  if (strange !== undefined) {
    throw invalid("CreateOptions.meta.k8s.io", "", [notSupported("dryRun", strange, ["All"])]);
  }
  return values.length > 0;
}

export type FieldValidation = "Ignore" | "Warn" | "Strict";

export function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get("fieldValidation") || "Warn";
  if (value === "Ignore" || value === "Warn" || value === "Strict") return value;
  throw invalid("CreateOptions.meta.k8s.io", "", [
    notSupported("fieldValidation", value, ["Ignore", "Strict", "Warn"]),
  ]);
}

function integer(query: URLSearchParams, name: string): number {
  const value = query.get(name);
  if (value === null || value === "") return 0;
  if (!/^-?\d{1,15}$/.test(value))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  return Math.max(0, Number(value));
}

/**
 * A continue token: where the next page starts, and the revision all pages are of.
 *
 * Source: kubernetes/apiserver pkg/storage/continue.go
 */
export function encodeContinue(revision: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, start })).toString("base64url");
}

/** Throws StatusError 400. `start` is what was given to encodeContinue; revision -1 means now. */
export function decodeContinue(token: string): { revision: number; start: string } {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, "base64url").toString()) as Record<string, unknown>;
    if (v !== "meta.k8s.io/v1") throw new Error(`server does not recognize this encoded version ${JSON.stringify(v)}`);
    if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0 || rv < -1)
      throw new Error("incorrect encoded start resourceVersion");
    if (typeof start !== "string" || start === "" || start.includes(".."))
      throw new Error("incorrect encoded start key");
    return { revision: rv, start };
  } catch (cause) {
    throw badRequest(`continue key is not valid: ${cause instanceof Error ? cause.message : cause}`, cause);
  }
}

/** 410 for a continue token whose revision is gone; the new token goes on from there as things stand now. */
export function continueExpired(start: string) {
  const error = failure({
    code: 410,
    reason: "Expired",
    message:
      "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
  });
  error.status.metadata = { continue: encodeContinue(-1, start) };
  return error;
}
