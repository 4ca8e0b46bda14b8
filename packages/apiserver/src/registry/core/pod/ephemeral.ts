import { isDeepStrictEqual } from "node:util";
import type { Pod } from "@hawser/api";
import { type FieldError, forbiddenField, notFoundField } from "../../field-error.ts";
import { defaultPod } from "./defaults.ts";
import { validatePod } from "./validation.ts";

/** The ephemeralcontainers subresource: of all the client sent, only these count. */
export function addEphemeralContainers(next: Pod, current: Pod): void {
  const asked = next.spec?.ephemeralContainers ?? [];
  if (current.spec) next.spec = { ...current.spec, ephemeralContainers: asked };
  if (asked.length === 0) delete next.spec?.ephemeralContainers;
  Object.assign(next, { status: current.status });
  defaultPod(next);
}

/** They can be added, never changed or taken away. Source: kubernetes/kubernetes pkg/apis/core/validation ValidatePodEphemeralContainersUpdate */
export function validateEphemeralContainers(next: Pod, current: Pod): FieldError[] {
  const after = next.spec?.ephemeralContainers ?? [];
  const errors = validatePod(next);
  for (const [index, { targetContainerName = "" }] of after.entries()) {
    const known = [...(next.spec?.containers ?? []), ...(next.spec?.initContainers ?? [])];
    if (targetContainerName && !known.some(({ name }) => name === targetContainerName)) {
      errors.push(notFoundField(`spec.ephemeralContainers[${index}].targetContainerName`, targetContainerName));
    }
  }
  for (const old of current.spec?.ephemeralContainers ?? []) {
    const kept = after.find(({ name }) => name === old.name);
    const field = "spec.ephemeralContainers";
    if (!kept)
      errors.push(
        forbiddenField(field, `existing ephemeral containers ${JSON.stringify(old.name)} may not be removed\n`),
      );
    else if (!isDeepStrictEqual(kept, old)) {
      errors.push(
        forbiddenField(field, `existing ephemeral containers ${JSON.stringify(old.name)} may not be changed\n`),
      );
    }
  }
  return errors;
}
