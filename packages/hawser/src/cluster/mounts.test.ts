import assert from "node:assert/strict";
import { test } from "node:test";
import { mountPoints } from "./mounts.ts";

const mountinfo = `22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw
39 22 8:1 / /var/lib/hawser rw - ext4 /dev/vdb rw
40 22 0:35 / /var/lib/hawser/runtime/containers/a/rootfs rw - overlay overlay rw
41 40 0:36 / /var/lib/hawser/runtime/containers/a/rootfs/dev rw - tmpfs tmpfs rw
42 22 0:37 / /var/lib/hawser/kubelet/with\\040space rw - tmpfs tmpfs rw
43 22 0:38 / /var/lib/hawser2/x rw - tmpfs tmpfs rw
`;

test("mountPoints: those below the folder, latest first, escapes undone, no neighbour by prefix, not itself", () => {
  assert.deepEqual(mountPoints(mountinfo, "/var/lib/hawser"), [
    "/var/lib/hawser/kubelet/with space",
    "/var/lib/hawser/runtime/containers/a/rootfs/dev",
    "/var/lib/hawser/runtime/containers/a/rootfs",
  ]);
});
