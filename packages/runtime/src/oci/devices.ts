import type { Stats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import path from "node:path";
import type { Device as CRIDevice } from "@hawser/cri";
import { Code, CRIError } from "@hawser/cri";
import type { Device, Resources } from "./types.ts";

type DeviceRules = NonNullable<Resources["devices"]>;

/** Device nodes one container may be given, so that a directory of them stays bounded. */
const maxDevices = 4096;

export interface DeviceGrant {
  devices: Device[];
  rules: DeviceRules;
}

/**
 * The device nodes a container gets, and who may use them. By default only the OCI runtime's own basic ones;
 * a privileged container gets the node's. Throws NotFound for a device that is not there, and InvalidArgument for what is neither
 * a device nor a directory, has no absolute place in the container, or access that there is not.
 */
export async function grantDevices(requested: CRIDevice[], privileged: boolean): Promise<DeviceGrant> {
  if (privileged) {
    return { devices: await hostDevices("/dev", "/dev"), rules: [{ allow: true, access: "rwm" }] };
  }
  const grant: DeviceGrant = { devices: [], rules: [{ allow: false, access: "rwm" }] };
  for (const { containerPath, hostPath, permissions } of requested) {
    if (!/^[rwm]*$/.test(permissions)) refuse(hostPath, `permissions "${permissions}" are not of r, w and m`);
    if (!containerPath.startsWith("/")) refuse(hostPath, `container path "${containerPath}" is not absolute`);
    const found = await deviceOrDirectory(hostPath, containerPath);
    grant.devices.push(...found);
    for (const { type, major, minor } of found) {
      grant.rules.push({ allow: true, type, major, minor, access: permissions || "rwm" });
    }
  }
  return grant;
}

async function deviceOrDirectory(hostPath: string, containerPath: string): Promise<Device[]> {
  const status = await stat(hostPath).catch((cause: NodeJS.ErrnoException) => {
    throw new CRIError(Code.NotFound, `device ${hostPath}: ${cause.code ?? cause.message}`, { cause });
  });
  const single = deviceOf(status, containerPath);
  if (single) return [single];
  if (!status.isDirectory()) refuse(hostPath, "is not a device");
  return await hostDevices(hostPath, containerPath);
}

function refuse(hostPath: string, how: string): never {
  throw new CRIError(Code.InvalidArgument, `device ${hostPath}: ${how}`);
}

/**
 * Every device node below a directory of the node, but for what each container has for itself. Links there are not followed: what
 * they lead to may be above them.
 */
async function hostDevices(directory: string, target: string): Promise<Device[]> {
  const devices: Device[] = [];
  for (const name of await readdir(directory)) {
    if (["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", "console", ".udev"].includes(name)) continue;
    const [source, destination] = [path.join(directory, name), path.join(target, name)];
    const status = await lstat(source).catch(ignoreGone);
    const device = status && deviceOf(status, destination);
    if (device) devices.push(device);
    else if (status?.isDirectory()) devices.push(...(await hostDevices(source, destination)));
    if (devices.length > maxDevices) throw new Error(`more than ${maxDevices} devices below ${directory}`);
  }
  return devices;
}

/** A device may be unplugged since its name was read. */
function ignoreGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

function deviceOf(status: Stats, containerPath: string): Device | undefined {
  if (!status.isCharacterDevice() && !status.isBlockDevice()) return undefined;
  const { mode, rdev, uid, gid } = status;
  return {
    path: containerPath,
    type: status.isCharacterDevice() ? "c" : "b",
    major: (rdev >> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
    fileMode: mode & 0o777,
    uid,
    gid,
  };
}
