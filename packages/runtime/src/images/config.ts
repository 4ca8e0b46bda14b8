import { isSHA256 } from "./reference.ts";

/** Largest image config taken, bytes. Manifests are bounded in manifest.ts. */
export const maxConfigSize = 8 << 20;
/** Most layers of an image. Source: overlayfs' OVL_MAX_STACK. */
const maxLayers = 500;

/**
 * An image's config.
 *
 * Source: opencontainers/image-spec config.md.
 */
export interface OCIImageConfig {
  architecture: string;
  os: string;
  variant?: string;
  created?: string;
  config?: {
    User?: string;
    ExposedPorts?: Record<string, unknown> | null;
    Env?: string[] | null;
    Entrypoint?: string[] | null;
    Cmd?: string[] | null;
    Volumes?: Record<string, unknown> | null;
    WorkingDir?: string;
    Labels?: Record<string, string> | null;
    StopSignal?: string;
    ArgsEscaped?: boolean;
  };
  rootfs: { type: "layers"; diff_ids: string[] };
}

/** Reads and checks an image config. Throws an Error that says what is wrong with it. */
export function parseConfig(bytes: Uint8Array): OCIImageConfig {
  let value: Partial<OCIImageConfig> | null;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new Error("image config is no JSON", { cause });
  }
  const diffIDs = value?.rootfs?.diff_ids ?? [];
  if (!value || typeof value !== "object" || typeof value.os !== "string" || !value.rootfs) {
    throw new Error("image config does not describe a container image");
  }
  if (!Array.isArray(diffIDs) || !diffIDs.every((id) => typeof id === "string" && isSHA256(id))) {
    throw new Error("image config has invalid diff_ids");
  }
  if (diffIDs.length > maxLayers) throw new Error(`image has ${diffIDs.length} layers; overlayfs takes ${maxLayers}`);
  const settings = value.config ?? {};
  for (const name of ["Env", "Entrypoint", "Cmd"] as const) {
    const list: unknown = settings[name] ?? [];
    if (!Array.isArray(list) || !list.every((item) => typeof item === "string")) {
      throw new Error(`image config has an invalid ${name}`);
    }
  }
  for (const name of ["User", "WorkingDir", "StopSignal"] as const) {
    if (!["string", "undefined"].includes(typeof settings[name]))
      throw new Error(`image config has an invalid ${name}`);
  }
  return {
    ...value,
    os: value.os,
    architecture: value.architecture ?? "",
    rootfs: { type: "layers", diff_ids: diffIDs },
  };
}
