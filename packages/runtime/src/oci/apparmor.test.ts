import assert from "node:assert/strict";
import { test } from "node:test";
import { create, SecurityProfile_ProfileType as ProfileType, SecurityProfileSchema } from "@hawser/cri";
import { type AppArmorKernel, type AppArmorRequest, appArmorOf, profileNames } from "./apparmor.ts";

const nothing: AppArmorRequest = { profile: undefined, deprecated: "", privileged: false };
const asked = (profileType: ProfileType, localhostRef = ""): AppArmorRequest => ({
  ...nothing,
  profile: create(SecurityProfileSchema, { profileType, localhostRef }),
});
const everything = [asked(ProfileType.RuntimeDefault), asked(ProfileType.Localhost, "mine")];

/** A kernel with profiles; `loads` counts how often the default one was loaded, `rules` are whose it has. */
function kernel(profiles: string[], given: Partial<AppArmorKernel> = {}) {
  const names = new Set(profiles);
  const made = {
    loads: 0,
    rules: "another version's" as string | undefined,
    names,
    enabled: true,
    loaded: async () => names,
    digest: async (): Promise<string | undefined> => made.rules,
    load: async () => {
      made.loads++;
      names.add("hawser-default");
      made.rules = "ours";
    },
    ...given,
  };
  return made;
}

test("appArmor: the default is loaded once, and is what nothing said means, but for privileged containers", async () => {
  const node = kernel([]);
  const { profileFor } = appArmorOf(node);
  const many = [nothing, nothing, asked(ProfileType.RuntimeDefault), { ...nothing, deprecated: "runtime/default" }];
  assert.deepEqual(await Promise.all(many.map(profileFor)), Array(4).fill("hawser-default"));
  assert.equal(await profileFor({ ...asked(ProfileType.RuntimeDefault), privileged: true }), "hawser-default");
  assert.equal(node.loads, 1);
  assert.equal(await profileFor({ ...nothing, privileged: true }), undefined);
  for (const none of [asked(ProfileType.Unconfined), { ...nothing, deprecated: "unconfined" }]) {
    assert.equal(await profileFor(none), undefined);
  }
});

test("appArmor: rules of another version under the default's name are replaced, when this process starts and whenever they come", async () => {
  const node = kernel(["hawser-default"]);
  const { profileFor } = appArmorOf(node);
  const loads = async () => {
    await Promise.all([profileFor(nothing), profileFor(nothing)]);
    return node.loads;
  };
  assert.deepEqual([await loads(), await loads()], [1, 1]);
  node.rules = "another version's";
  assert.deepEqual([await loads(), await loads()], [2, 2]);
  node.names.delete("hawser-default");
  assert.deepEqual([await loads(), await loads()], [3, 3]);

  const silent = kernel(["hawser-default"], { digest: async () => undefined });
  const { profileFor: again } = appArmorOf(silent);
  for (let n = 0; n < 3; n++) await again(nothing);
  assert.equal(silent.loads, 1, "a kernel that tells of names alone");
});

test("appArmor: a local profile is one that the kernel has", async () => {
  const { profileFor } = appArmorOf(kernel(["mine", "with blanks"]));
  assert.equal(await profileFor(asked(ProfileType.Localhost, "mine")), "mine");
  assert.equal(await profileFor(asked(ProfileType.Localhost, "localhost/mine")), "mine");
  assert.equal(await profileFor({ ...nothing, deprecated: "localhost/with blanks", privileged: true }), "with blanks");
  await assert.rejects(profileFor(asked(ProfileType.Localhost, "other")), {
    code: 9,
    message: "apparmor profile not found other",
  });
  for (const request of [asked(ProfileType.Localhost), asked(ProfileType.Localhost, "a\nb")]) {
    await assert.rejects(profileFor(request), { code: 3 });
  }
  await assert.rejects(profileFor({ ...nothing, deprecated: "mine" }), {
    code: 3,
    message: /invalid apparmor profile/,
  });
});

test("appArmor: where the kernel has none, what is asked for is refused and what is not is not", async () => {
  const { profileFor, reason } = appArmorOf(kernel([], { enabled: false, load: undefined }));
  assert.match(reason, /not enabled on the host/);
  for (const request of everything) {
    await assert.rejects(profileFor(request), { code: 9, message: /^apparmor is not supported: .*not enabled/ });
  }
  assert.equal(await profileFor(nothing), undefined);
  assert.equal(await profileFor(asked(ProfileType.Unconfined)), undefined);
});

test("appArmor: without a parser there is no default, but there are the node's own profiles", async () => {
  const { profileFor } = appArmorOf(kernel(["mine"], { load: undefined }));
  assert.equal(await profileFor(nothing), undefined);
  assert.equal(await profileFor(asked(ProfileType.Localhost, "mine")), "mine");
  await assert.rejects(profileFor(asked(ProfileType.RuntimeDefault)), { code: 9, message: /apt-get install apparmor/ });
});

test("appArmor: a parser that fails is told of, and tried again", async () => {
  let tries = 0;
  const load = () => Promise.reject(new Error(`no room ${++tries}`));
  const { profileFor } = appArmorOf(kernel([], { load }));
  await assert.rejects(profileFor(nothing), /no room 1/);
  await assert.rejects(profileFor(nothing), /no room 2/);
});

test("profileNames: as the kernel lists them", () => {
  const names = profileNames(
    "mine (enforce)\n/usr/bin/man (complain)\nwith (odd) name (kill)\nunconfined one (unconfined)\n\n",
  );
  assert.deepEqual([...names], ["mine", "/usr/bin/man", "with (odd) name", "unconfined one"]);
});
