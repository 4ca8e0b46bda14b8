import { readdir, stat } from "node:fs/promises";
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
 * a privileged container gets the node's. Throws NotFound for a device that is not there.
 */
export async function grantDevices(requested: CRIDevice[], privileged: boolean): Promise<DeviceGrant> {
  if (privileged) {
    return { devices: await hostDevices("/dev", "/dev"), rules: [{ allow: true, access: "rwm" }] };
  }
  const grant: DeviceGrant = { devices: [], rules: [{ allow: false, access: "rwm" }] };
  for (const { containerPath, hostPath, permissions } of requested) {
    const found = await deviceOrDirectory(hostPath, containerPath);
    grant.devices.push(...found);
    for (const { type, major, minor } of found) {
      grant.rules.push({ allow: true, type, major, minor, access: permissions || "rwm" });
    }
  }
  return grant;
}

async function deviceOrDirectory(hostPath: string, containerPath: string): Promise<Device[]> {
  const single = await deviceAt(hostPath, containerPath).catch((cause: NodeJS.ErrnoException) => {
    throw new CRIError(Code.NotFound, `device ${hostPath}: ${cause.code ?? cause.message}`, { cause });
  });
  return single ? [single] : await hostDevices(hostPath, containerPath);
}

/** Every device node below a directory of the node, but for what each container has for itself. */
async function hostDevices(directory: string, target: string): Promise<Device[]> {
  const devices: Device[] = [];
  for (const name of await readdir(directory)) {
    if (devices.length > maxDevices) throw new Error(`more than ${maxDevices} devices below ${directory}`);
    if (["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", "console", ".udev"].includes(name)) continue;
    const [source, destination] = [path.join(directory, name), path.join(target, name)];
    const stats = await stat(source).catch(() => undefined);
    if (stats?.isDirectory()) devices.push(...(await hostDevices(source, destination)));
    else if (stats) {
      const device = await deviceAt(source, destination);
      if (device) devices.push(device);
    }
  }
  return devices;
}

async function deviceAt(hostPath: string, containerPath: string): Promise<Device | undefined> {
  const { mode, rdev, uid, gid, ...stats } = await stat(hostPath).then((s) => ({
    mode: s.mode,
    rdev: s.rdev,
    uid: s.uid,
    gid: s.gid,
    character: s.isCharacterDevice(),
    block: s.isBlockDevice(),
  }));
  if (!stats.character && !stats.block) return undefined;
  return {
    path: containerPath,
    type: stats.character ? "c" : "b",
    major: ((rdev >> 8) & 0xfff) | 0,
    minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
    fileMode: mode & 0o777,
    uid,
    gid,
  };
}
