import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { create, DeviceSchema } from "@hawser/cri";
import { grantDevices } from "./devices.ts";

const asked = (hostPath: string, containerPath: string) => create(DeviceSchema, { hostPath, containerPath });

it("grantDevices: a device by its number, with the access asked for", async () => {
  const { devices, rules } = await grantDevices([asked("/dev/null", "/dev/nothing")], false);
  assert.deepEqual(
    devices.map(({ path, type, major, minor }) => ({ path, type, major, minor })),
    [{ path: "/dev/nothing", type: "c", major: 1, minor: 3 }],
  );
  assert.deepEqual(rules, [
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
  ]);
});

it("grantDevices: a folder whose links lead around in it comes to an end", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-devices-"));
  try {
    await mkdir(path.join(directory, "below"));
    for (const name of ["a", "b", "below/c"]) await symlink(directory, path.join(directory, name));
    const { devices } = await grantDevices([asked(directory, "/dev/some")], false);
    assert.deepEqual(devices, []);
  } finally {
    await rm(directory, { recursive: true });
  }
});

it("grantDevices: what is not there is NotFound", async () => {
  await assert.rejects(grantDevices([asked("/dev/no-such-device", "/dev/x")], false), { code: 5 });
});

it("grantDevices: what is no device, is nowhere, or is used in no way that there is, is InvalidArgument", async () => {
  await assert.rejects(grantDevices([asked("/etc/passwd", "/dev/x")], false), { code: 3 });
  await assert.rejects(grantDevices([asked("/dev/null", "x")], false), { code: 3 });
  await assert.rejects(grantDevices([{ ...asked("/dev/null", "/dev/x"), permissions: "rx" }], false), { code: 3 });
});
