import { Code, CRIError, SecurityProfile_ProfileType as ProfileType, type SecurityProfile } from "@hawser/cri";
import { readPlainFile } from "@hawser/files";
import { isOneOf } from "./is-one-of.ts";
import { defaultSeccomp } from "./seccomp-default.ts";
import type { Seccomp } from "./types.ts";

/** Largest local profile taken, bytes. */
const maxProfileBytes = 1024 * 1024;

export interface SeccompRequest {
  profile: SecurityProfile | undefined;
  /** The former field: "", "unconfined", "runtime/default", "docker/default", "localhost/PATH". */
  deprecatedPath: string;
  privileged: boolean;
  bounding: readonly string[];
}

/**
 * The seccomp profile of a container; undefined for unconfined, which privileged containers always are, and others
 * when nothing is asked for. Throws InvalidArgument for a type that is unknown, and for a local profile that is not there or not
 * JSON.
 */
export async function seccompFor(request: SeccompRequest): Promise<Seccomp | undefined> {
  const { type, ref } = wanted(request);
  if (!isOneOf(ProfileType, type)) {
    throw new CRIError(Code.InvalidArgument, `invalid seccomp profile: its type ${type} is unknown`);
  }
  if (request.privileged || type === ProfileType.Unconfined) return undefined;
  if (type === ProfileType.RuntimeDefault) return defaultSeccomp(request.bounding);
  try {
    return JSON.parse(await readPlainFile(ref, maxProfileBytes)) as Seccomp; // the OCI runtime checks its contents
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new CRIError(Code.InvalidArgument, `cannot load seccomp profile "${ref}": ${text}`, { cause });
  }
}

function wanted({ profile, deprecatedPath }: SeccompRequest): { type: ProfileType; ref: string } {
  if (profile) return { type: profile.profileType, ref: profile.localhostRef };
  if (deprecatedPath.startsWith("localhost/")) {
    return { type: ProfileType.Localhost, ref: deprecatedPath.slice("localhost/".length) };
  }
  const standard = deprecatedPath === "runtime/default" || deprecatedPath === "docker/default";
  if (!standard && deprecatedPath && deprecatedPath !== "unconfined") {
    throw new CRIError(Code.InvalidArgument, `invalid seccomp profile "${deprecatedPath}"`);
  }
  return { type: standard ? ProfileType.RuntimeDefault : ProfileType.Unconfined, ref: "" };
}
