import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { Code, CRIError, SecurityProfile_ProfileType as ProfileType, type SecurityProfile } from "@hawser/cri";
import type { Reaper } from "../native/reaper.ts";
import { runOrThrow } from "../native/spawn.ts";
import { defaultAppArmor, defaultAppArmorName } from "./apparmor-default.ts";
import type { Host } from "./host.ts";
import { isOneOf } from "./is-one-of.ts";
import { findProgram } from "./probe.ts";

/** Where the kernel lists the profiles it has: `NAME (MODE)`, a line each. */
const loadedProfiles = "/sys/kernel/security/apparmor/profiles";
/** Where it has a directory for each, `NAME.NUMBER`, with a digest of its rules; which one depends on the kernel. */
const policies = "/sys/kernel/security/apparmor/policy/profiles";
const digests = ["sha256", "sha1"];
/** How long compiling and loading a profile may take, milliseconds. */
const loadTimeout = 30_000;

export interface AppArmorRequest {
  profile: SecurityProfile | undefined;
  /** The former field: "", "unconfined", "runtime/default", "localhost/NAME". */
  deprecated: string;
  privileged: boolean;
}

/** AppArmor as this node has it. */
export interface AppArmor {
  /** In words, for the log and the status: what containers get of which nothing is said. */
  reason: string;
  /**
   * The name of a container's profile; undefined for none. Where nothing is asked for it is the default one, but for
   * privileged containers; of those containerd ignores the default asked for by name too, which we do not: the CRI has it that
   * privileged containers MAY go without. Throws FailedPrecondition for a profile that cannot be had, InvalidArgument for what is
   * none.
   *
   * Source: containerd/containerd internal/cri/server/container_create.go (generateApparmorSpecOpts); kubernetes#51746
   */
  profileFor(request: AppArmorRequest): Promise<string | undefined>;
}

export interface AppArmorKernel {
  enabled: boolean;
  /** Names of the profiles the kernel has; undefined where it does not tell. */
  loaded(): Promise<ReadonlySet<string> | undefined>;
  /** The kernel's digest of the rules it has under the default profile's name; undefined where it does not tell. */
  digest(): Promise<string | undefined>;
  /** Loads the default profile, in the place of one of that name. Undefined where there is nothing to load it with. */
  load: (() => Promise<void>) | undefined;
}

/** The node's own AppArmor. */
export async function openAppArmor({ host, reaper }: { host: Host; reaper: Reaper }): Promise<AppArmor> {
  const parser = host.appArmor ? await findProgram("apparmor_parser", ["/sbin"]) : undefined;
  return appArmorOf({
    enabled: host.appArmor,
    loaded: readLoaded,
    digest: readDigest,
    load: parser === undefined ? undefined : () => loadDefault({ reaper, parser }),
  });
}

export function appArmorOf(kernel: AppArmorKernel): AppArmor {
  const missing = !kernel.enabled ? notSupported : kernel.load ? undefined : noParser;
  let loading: Promise<void> | undefined;
  /**
   * What the kernel has said of our rules since this process has loaded them; those there were before may be another version's.
   */
  let ours: { digest: string | undefined } | undefined;
  const load = async () => {
    await kernel.load?.();
    ours = { digest: await kernel.digest() };
  };
  const needDefault = async () => {
    const [names, digest] = await Promise.all([kernel.loaded(), kernel.digest()]);
    if (ours && names?.has(defaultAppArmorName) && digest === ours.digest) return;
    loading ??= load();
    await loading.finally(() => {
      loading = undefined; // somebody may take it out or change it again, and the next container puts it back
    });
  };
  return {
    reason: missing ?? `AppArmor: ${defaultAppArmorName} where nothing else is asked for`,
    async profileFor(request) {
      const { type, name } = wanted(request);
      if (type === ProfileType.Unconfined) return undefined;
      if (type === undefined && (missing || request.privileged)) return undefined;
      if (!kernel.enabled || (missing && type !== ProfileType.Localhost)) {
        throw new CRIError(Code.FailedPrecondition, missing ?? notSupported);
      }
      if (type === ProfileType.Localhost) {
        const loaded = await kernel.loaded();
        if (loaded && !loaded.has(name)) {
          throw new CRIError(Code.FailedPrecondition, `apparmor profile not found ${name}`);
        }
        return name;
      }
      await needDefault();
      return defaultAppArmorName;
    },
  };
}

const notSupported = "apparmor is not supported: AppArmor is not enabled on the host";
const noParser = "apparmor is not supported: apparmor_parser not found; on Debian: apt-get install apparmor";
const localhost = "localhost/";

function wanted({ profile, deprecated }: AppArmorRequest): { type: ProfileType | undefined; name: string } {
  if (profile) return named(profile.profileType, profile.localhostRef.replace(/^localhost\//, ""));
  if (deprecated === "") return { type: undefined, name: "" };
  if (deprecated === "unconfined") return { type: ProfileType.Unconfined, name: "" };
  if (deprecated === "runtime/default") return { type: ProfileType.RuntimeDefault, name: "" };
  if (deprecated.startsWith(localhost)) return named(ProfileType.Localhost, deprecated.slice(localhost.length));
  throw new CRIError(Code.InvalidArgument, `invalid apparmor profile "${deprecated}"`);
}

/** A name goes to the kernel as the rest of a line. */
function named(type: ProfileType, name: string): { type: ProfileType; name: string } {
  if (type === ProfileType.Localhost && (name === "" || /[\n\0]/.test(name))) {
    throw new CRIError(Code.InvalidArgument, `invalid apparmor profile ${JSON.stringify(name)}`);
  }
  if (!isOneOf(ProfileType, type)) {
    throw new CRIError(Code.InvalidArgument, `invalid apparmor profile: its type ${type} is unknown`);
  }
  return { type, name };
}

async function readLoaded(): Promise<ReadonlySet<string> | undefined> {
  const text = await readFile(loadedProfiles, "utf8").catch(() => undefined); // securityfs may not be mounted
  return text === undefined ? undefined : profileNames(text);
}

async function readDigest(): Promise<string | undefined> {
  const names = await readdir(policies).catch(() => []); // before Linux 4.13, or without securityfs
  const name = names.find(
    (each) => each.startsWith(defaultAppArmorName) && /^\.\d+$/.test(each.slice(defaultAppArmorName.length)),
  );
  if (name === undefined) return undefined;
  for (const file of digests) {
    const digest = await readFile(path.join(policies, name, file), "utf8").catch(() => undefined);
    if (digest !== undefined) return `${file} ${digest.trim()}`;
  }
  return undefined;
}

/** Names may have blanks in them; the mode is the last word. */
export function profileNames(text: string): ReadonlySet<string> {
  return new Set(text.split("\n").flatMap((line) => /^(.+) \([^()]*\)$/.exec(line)?.[1] ?? []));
}

async function loadDefault({ reaper, parser }: { reaper: Reaper; parser: string }): Promise<void> {
  const signal = AbortSignal.timeout(loadTimeout);
  const args = ["--skip-cache", "--replace"];
  await runOrThrow({ reaper }, { path: parser, args, input: defaultAppArmor, signal });
}
