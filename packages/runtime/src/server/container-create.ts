import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type {
  ContainerConfig,
  CreateContainerRequest,
  CreateContainerResponseSchema,
  MessageInitShape,
} from "@hawser/cri";
import { Code, ContainerEventType, CRIError, NamespaceMode } from "@hawser/cri";
import { moveConmon } from "../cgroup/conmon-group.ts";
import { containerCgroup, ociCgroupsPath } from "../cgroup/parent.ts";
import type { Context } from "../context.ts";
import { rootOf } from "../native/idmap.ts";
import { identify, isAlive } from "../native/process-id.ts";
import { usernsFile } from "../network/userns.ts";
import { checkPath, checkPaths } from "../oci/check-path.ts";
import { createUnderConmon } from "../oci/conmon.ts";
import { containerSpec } from "../oci/container-spec.ts";
import { refuseSELinux } from "../oci/host.ts";
import { resourceRecord } from "../oci/resources.ts";
import { rlimitsFor } from "../oci/rlimits.ts";
import { runtimeFor } from "../oci/runtime.ts";
import { requestedMounts } from "../oci/spec-mounts.ts";
import type { Monitors } from "../store/monitors.ts";
import type { SandboxRecord } from "../store/records.ts";
import { checkContainerConfig } from "./check-input.ts";
import { checkNewLog, logPathOf } from "./container-log.ts";
import { containerMetadata, containerName } from "./container-name.ts";
import { namespacesOf } from "./container-namespaces.ts";
import { newContainerRecord } from "./container-record.ts";
import { mapVolumes } from "./container-volumes.ts";
import { discardContainer } from "./discard.ts";
import { withDiskRoom } from "./disk-room.ts";
import { imageVolumes } from "./image-volumes.ts";
import { sandboxFiles, shmPath } from "./sandbox-files.ts";
import { newId } from "./sandbox-name.ts";

type Dependencies = Pick<
  Context,
  | "config"
  | "paths"
  | "reaper"
  | "oci"
  | "host"
  | "appArmor"
  | "conmonPath"
  | "execProgram"
  | "images"
  | "sandboxes"
  | "containers"
  | "now"
  | "events"
  | "cgroupMode"
  | "groups"
  | "leftovers"
  | "log"
> & { monitors: Monitors };

/**
 * CRI CreateContainer: root filesystem, config.json, and a conmon that has the OCI runtime create it.
 * On disk when it returns; when it fails, nothing is left.
 *
 * Throws NotFound (sandbox, image), FailedPrecondition (sandbox not ready), InvalidArgument, AlreadyExists.
 */
export async function createContainer(
  dependencies: Dependencies,
  { podSandboxId, config, sandboxConfig }: CreateContainerRequest,
): Promise<MessageInitShape<typeof CreateContainerResponseSchema>> {
  const { sandboxes, containers, events } = dependencies;
  if (!config) throw new CRIError(Code.InvalidArgument, "container config is missing");
  checkContainerConfig(config);
  checkPaths(config);
  const sandbox = sandboxes.get(podSandboxId);
  if (sandbox.state !== "ready" || !sandbox.pause || !(await isAlive(sandbox.pause))) {
    throw notRunning(sandbox);
  }
  const pod = sandboxConfig?.linux?.securityContext; // as it is by now: a privileged container may have come since
  refuse(config, { host: dependencies.host, privileged: sandbox.privileged || !!pod?.privileged });
  const id = newId();
  const name = containerName({ metadata: containerMetadata(config), sandboxId: sandbox.id });
  containers.reserve(name, id);
  try {
    await make(dependencies, { id, config, sandbox });
  } catch (error) {
    containers.release(name, id);
    throw error;
  }
  events.emit(id, ContainerEventType.CONTAINER_CREATED_EVENT);
  return { containerId: id };
}

function notRunning({ id }: SandboxRecord): CRIError {
  return new CRIError(Code.FailedPrecondition, `sandbox "${id}" is not running`);
}

/** What this runtime does not do is refused by name. */
function refuse(config: ContainerConfig, { host, privileged }: { host: Dependencies["host"]; privileged: boolean }) {
  const security = config.linux?.securityContext;
  if (security?.privileged && !privileged) {
    throw new CRIError(Code.InvalidArgument, "no privileged container allowed in sandbox");
  }
  refuseSELinux(host, security);
  if (config.CDIDevices.length > 0) throw new CRIError(Code.Unimplemented, "CDI devices are not implemented");
  if (config.windows) throw new CRIError(Code.Unimplemented, "Windows containers are not implemented");
}

interface Order {
  id: string;
  config: ContainerConfig;
  sandbox: SandboxRecord;
}

async function make(dependencies: Dependencies, { id, config, sandbox }: Order): Promise<void> {
  const { containers, sandboxes, images, host, paths } = dependencies;
  const oci = runtimeFor(dependencies.oci, sandbox.runtimeHandler);
  if (!oci) throw new CRIError(Code.FailedPrecondition, `${sandbox.runtimeHandler} is not installed any more`);
  const image = images.status(config.image?.image ?? "");
  if (!image) throw new CRIError(Code.NotFound, `image "${config.image?.image ?? ""}" not found`);
  const resources = await resourceRecord(host, config.linux?.resources);
  const namespaces = namespacesOf(dependencies, sandbox, config);
  const mounts = await requestedMounts(host, config.mounts);
  const security = config.linux?.securityContext;
  const appArmorProfile = await dependencies.appArmor.profileFor({
    profile: security?.apparmor,
    deprecated: security?.apparmorProfile ?? "",
    privileged: security?.privileged ?? false,
  });
  const logPath = logPathOf(sandbox.logDirectory, config.logPath);
  if (logPath) await checkNewLog(logPath);

  const stdioOwner = sandbox.users && rootOf(sandbox.users);
  const directory = await containers.prepare(id);
  try {
    const { rootfs, config: imageConfig } = await images.prepareRootfs({
      imageId: image.id,
      containerId: id,
      users: rootfsUsers(sandbox),
    });
    checkPath(config.workingDir || imageConfig.config?.WorkingDir || "/", "working directory");
    await mapVolumes(sandbox, { requested: config.mounts, mounts: mounts.mounts, directory });
    const sandboxDirectory = sandboxes.directoryOf(sandbox.id);
    const cgroupPath = containerCgroup(sandbox.cgroupParent, { id, oci: oci.name });
    const spec = await containerSpec({
      host,
      config,
      image: imageConfig.config ?? {},
      rootfs,
      cgroupsPath: ociCgroupsPath(sandbox.cgroupParent, id),
      resources,
      rlimits: rlimitsFor(host, dependencies.config.rlimits),
      mounts,
      volumes: await imageVolumes(dependencies, {
        directory,
        rootfs,
        volumes: imageConfig.config?.Volumes,
        taken: mounts.mounts.map(({ destination }) => path.posix.resolve(destination)),
        users: sandbox.users,
      }),
      namespaces,
      users: sandbox.users,
      hostname: sandbox.hostname,
      appArmorProfile,
      shm: sandbox.namespaces.ipc === NamespaceMode.NODE ? "/dev/shm" : shmPath(sandboxDirectory),
      files: sandboxFiles(sandboxDirectory),
    });
    await Promise.all([
      writeFile(path.join(directory, "config.json"), JSON.stringify(spec), { mode: 0o600 }),
      logPath ? mkdir(path.dirname(logPath), { recursive: true, mode: 0o755 }) : undefined,
    ]);
    const created = await createUnderConmon(
      { ...dependencies, oci },
      {
        conmonPath: dependencies.conmonPath,
        id,
        bundle: directory,
        logPath: logPath || undefined,
        exitDir: paths.exits,
        socketDir: paths.sockets,
        stdin: config.stdin,
        stdinOnce: config.stdinOnce,
        terminal: config.tty,
        stdioOwner,
      },
    );
    const [init, conmon] = await Promise.all([
      identify(created.pid),
      identify(created.conmonPid),
      moveConmon(dependencies, {
        pid: created.conmonPid,
        cgroupParent: sandbox.cgroupParent,
        containerId: id,
      }),
    ]);
    if (!init || !conmon) throw new Error(`container "${id}" ended while ${oci.name} created it`);
    // Stopped or removed meanwhile: nobody would look for a container that comes after. No wait between this and the record.
    if (sandboxes.find(sandbox.id)?.state !== "ready") throw notRunning(sandbox);
    const made = {
      id,
      createdAt: String(dependencies.now()),
      logPath,
      mounts: mounts.records,
      process: spec.process,
      stdioOwner,
      cgroupPath,
      resources,
      init,
      conmon,
    };
    await containers.save(newContainerRecord({ config, sandbox, image, imageSettings: imageConfig.config, made }));
    dependencies.monitors.watch(id, created.exited);
  } catch (error) {
    const reason = (await hasEnded(dependencies, sandbox))
      ? new CRIError(Code.FailedPrecondition, notRunning(sandbox).message, { cause: error })
      : await withDiskRoom(error, directory);
    containers.forget(id);
    const takeAway = () => discardContainer(dependencies, { id, directory });
    if (!(await takeAway())) dependencies.leftovers.add(id, takeAway);
    throw reason;
  }
}

/** Has somebody stopped the sandbox, or removed it? What comes of it then is no error of the container's. */
async function hasEnded({ sandboxes }: Pick<Context, "sandboxes">, { id, pause }: SandboxRecord): Promise<boolean> {
  return sandboxes.find(id)?.state !== "ready" || !pause || !(await isAlive(pause));
}

/** The user namespace that the image's files are to belong to. */
function rootfsUsers({ users, network }: SandboxRecord) {
  return users && network && { mappings: users, file: usernsFile(network.netns) };
}
