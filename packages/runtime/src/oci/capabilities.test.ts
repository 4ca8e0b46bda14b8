import assert from "node:assert/strict";
import { test } from "node:test";
import { CapabilitySchema, create } from "@hawser/cri";
import { capabilityNames, capabilitySets } from "./capabilities.ts";

const host = { capabilities: new Set(capabilityNames.filter((name) => name !== "CAP_SYS_RESOURCE")) };
const asked = (addCapabilities: string[], dropCapabilities: string[] = [], addAmbientCapabilities: string[] = []) => ({
  privileged: false,
  nonRoot: false,
  capability: create(CapabilitySchema, { addCapabilities, dropCapabilities, addAmbientCapabilities }),
});

test("capabilitySets: fourteen by default, none inheritable", () => {
  const sets = capabilitySets(host, { privileged: false, capability: undefined, nonRoot: false });
  assert.equal(sets.bounding.length, 14);
  assert.deepEqual([sets.effective, sets.permitted], [sets.bounding, sets.bounding]);
  assert.deepEqual([sets.inheritable, sets.ambient], [[], []]);
});

for (const { name, request, has, lacks } of [
  {
    name: "adds, with or without the prefix",
    request: asked(["net_admin", "CAP_SYS_TIME"]),
    has: ["CAP_NET_ADMIN", "CAP_SYS_TIME"],
    lacks: [],
  },
  { name: "drops", request: asked([], ["CHOWN"]), has: ["CAP_KILL"], lacks: ["CAP_CHOWN"] },
  { name: "drops all but what is added", request: asked(["CHOWN"], ["ALL"]), has: ["CAP_CHOWN"], lacks: ["CAP_KILL"] },
  { name: "drops what is added too", request: asked(["CHOWN"], ["CHOWN"]), has: ["CAP_KILL"], lacks: ["CAP_CHOWN"] },
  {
    name: "adds all but what is dropped",
    request: asked(["ALL"], ["CHOWN"]),
    has: ["CAP_SYS_ADMIN"],
    lacks: ["CAP_CHOWN"],
  },
  {
    name: "drops ALL that is added too; what is added by name stays, as containerd does",
    request: asked(["ALL", "CHOWN"], ["ALL"]),
    has: ["CAP_CHOWN"],
    lacks: ["CAP_SYS_ADMIN", "CAP_KILL"],
  },
  { name: "cannot grant what it lacks", request: asked(["ALL"]), has: ["CAP_SYS_ADMIN"], lacks: ["CAP_SYS_RESOURCE"] },
  {
    name: "gives a privileged container what it has",
    request: { ...asked([], ["ALL"]), privileged: true },
    has: ["CAP_SYS_ADMIN", "CAP_BPF"],
    lacks: ["CAP_SYS_RESOURCE"],
  },
]) {
  test(`capabilitySets: ${name}`, () => {
    const { bounding } = capabilitySets(host, request);
    for (const wanted of has) assert.ok(bounding.includes(wanted), wanted);
    for (const unwanted of lacks) assert.ok(!bounding.includes(unwanted), unwanted);
  });
}

test("capabilitySets: for a user that is not root only ambient ones are effective", () => {
  const sets = capabilitySets(host, { ...asked([], [], ["NET_BIND_SERVICE"]), nonRoot: true });
  assert.deepEqual(sets.effective, ["CAP_NET_BIND_SERVICE"]);
  assert.deepEqual([sets.ambient, sets.inheritable], [sets.effective, sets.effective]);
  assert.equal(sets.bounding.length, 14);
});

test("capabilitySets: an unknown name is refused", () => {
  assert.throws(() => capabilitySets(host, asked(["NO_SUCH"])), { code: 3, message: /NO_SUCH/ });
});
