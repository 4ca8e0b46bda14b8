import assert from "node:assert/strict";
import { test } from "node:test";
import { create, SecurityProfile_ProfileType as ProfileType, SecurityProfileSchema } from "@hawser/cri";
import { seccompFor } from "./seccomp.ts";
import { defaultSeccomp } from "./seccomp-default.ts";

const allowed = (bounding: string[]) =>
  new Set(
    defaultSeccomp(bounding, "x64").syscalls.flatMap(({ names, action, args }) =>
      action === "SCMP_ACT_ALLOW" && !args ? names : [],
    ),
  );

test("defaultSeccomp: allows what programs need, and no more", () => {
  const calls = allowed([]);
  for (const name of ["read", "write", "execve", "openat2", "futex", "arch_prctl", "epoll_pwait2"])
    assert.ok(calls.has(name), name);
  for (const name of [
    "mount",
    "setns",
    "unshare",
    "bpf",
    "kexec_load",
    "keyctl",
    "add_key",
    "reboot",
    "io_uring_setup",
  ]) {
    assert.ok(!calls.has(name), name);
  }
});

test("defaultSeccomp: calls come with their capabilities", () => {
  assert.ok(allowed(["CAP_SYS_ADMIN"]).has("mount"));
  assert.ok(allowed(["CAP_SYS_TIME"]).has("settimeofday"));
  assert.ok(!allowed(["CAP_SYS_TIME"]).has("mount"));
});

test("defaultSeccomp: without SYS_ADMIN, clone makes no namespaces and clone3 does not exist", () => {
  const { syscalls } = defaultSeccomp([], "x64");
  assert.deepEqual(
    syscalls.find(({ names }) => names[0] === "clone3"),
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
  );
  assert.equal(syscalls.find(({ names }) => names[0] === "clone")?.args?.[0]?.op, "SCMP_CMP_MASKED_EQ");
});

const request = { profile: undefined, deprecatedPath: "", privileged: false, bounding: [] };
const profile = (profileType: ProfileType, localhostRef = "") =>
  create(SecurityProfileSchema, { profileType, localhostRef });

for (const [name, given, confined] of [
  ["nothing asked for", request, false],
  ["unconfined", { ...request, profile: profile(ProfileType.Unconfined) }, false],
  ["the default", { ...request, profile: profile(ProfileType.RuntimeDefault) }, true],
  ["the default, privileged", { ...request, profile: profile(ProfileType.RuntimeDefault), privileged: true }, false],
  ["the default by its former name", { ...request, deprecatedPath: "runtime/default" }, true],
  ["unconfined by its former name", { ...request, deprecatedPath: "unconfined" }, false],
] as const) {
  test(`seccompFor: ${name}`, async () => assert.equal((await seccompFor(given)) !== undefined, confined));
}

test("seccompFor: a profile that is not there, or of no known kind, is refused", async () => {
  await assert.rejects(seccompFor({ ...request, profile: profile(ProfileType.Localhost, "/no/such/file") }), {
    code: 3,
  });
  await assert.rejects(seccompFor({ ...request, profile: profile(ProfileType.Localhost, "/dev/zero") }), {
    code: 3,
    message: /"\/dev\/zero": is not a file/,
  });
  await assert.rejects(seccompFor({ ...request, deprecatedPath: "nonsense" }), { code: 3 });
});
