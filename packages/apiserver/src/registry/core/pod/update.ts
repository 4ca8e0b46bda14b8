import { isDeepStrictEqual } from "node:util";
import type { Container, Pod, PodSpec } from "@hawser/api";
import { type FieldError, forbiddenField } from "../../field-error.ts";

/** Source: kubernetes/kubernetes pkg/apis/core/validation/validation.go ValidatePodUpdate */
const onlyThese =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** Most of a pod's spec is settled when it is made. */
export function validatePodUpdate({ spec: next }: Pod, { spec: current }: Pod): FieldError[] {
  if (!next || !current || isDeepStrictEqual(next, current)) return [];
  const errors: FieldError[] = [];
  for (const part of ["containers", "initContainers"] as const) {
    if ((next[part] ?? []).length !== (current[part] ?? []).length) {
      return [forbiddenField(`spec.${part}`, "pod updates may not add or remove containers")];
    }
  }
  const kept = (current.tolerations ?? []).every((one) =>
    next.tolerations?.some((other) =>
      isDeepStrictEqual({ ...one, tolerationSeconds: 0 }, { ...other, tolerationSeconds: 0 }),
    ),
  );
  if (!kept) {
    const text = "existing toleration can not be modified except its tolerationSeconds";
    errors.push(forbiddenField("spec.tolerations", text));
  }
  const before = frozenPart(current, current);
  const after = frozenPart(next, current);
  if (!isDeepStrictEqual(before, after))
    errors.push(forbiddenField("spec", `${onlyThese}\n${differences(before, after)}`));
  return errors;
}

/** A spec with all that may change made equal to `current`'s. */
function frozenPart(spec: PodSpec, current: PodSpec): PodSpec {
  const imageOf = (list: Container[] | undefined, index: number) => {
    const image = list?.[index]?.image;
    return image === undefined ? {} : { image };
  };
  const { activeDeadlineSeconds: _, tolerations: _1, ...rest } = spec;
  return {
    ...rest,
    containers: spec.containers.map((one, index) => ({ ...one, ...imageOf(current.containers, index) })),
    ...(spec.initContainers && {
      initContainers: spec.initContainers.map((one, index) => ({ ...one, ...imageOf(current.initContainers, index) })),
    }),
  };
}

/** Lines of what differs, `-` before and `+` after. */
function differences(before: unknown, after: unknown, path = "spec"): string {
  if (isDeepStrictEqual(before, after)) return "";
  if (isMembers(before) && isMembers(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...names].map((name) => differences(before[name], after[name], `${path}.${name}`)).join("");
  }
  const line = (sign: string, value: unknown) =>
    value === undefined ? "" : `${sign} ${path}: ${JSON.stringify(value)}\n`;
  return line("-", before) + line("+", after);
}

function isMembers(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
