import { eventually } from "@hawser/testing";
import type { Subject } from "./subject.ts";

/** Images of the test's registry, which both runtimes know as registry.test. */
export const testImage = "registry.test/tools:1";
export const secondTag = "registry.test/tools:2";
/** Has neither command nor entrypoint. */
export const emptyImage = "registry.test/empty:1";
/** Has all the settings an image can have. */
export const settingsImage = "registry.test/settings:1";

export function sandboxConfig(
  { folder, cgroupParent }: Subject,
  name: string,
  more: { linux?: object; [name: string]: unknown } = {},
) {
  return {
    metadata: { name, namespace: "default", uid: `uid-of-${name}`, attempt: 0 },
    hostname: "host-of-the-pod",
    logDirectory: `${folder}/logs/${name}`,
    dnsConfig: { servers: ["192.0.2.53"], searches: ["test"], options: ["ndots:5"] },
    ...more,
    linux: { ...(cgroupParent && { cgroupParent: `${cgroupParent}/${name}` }), ...more.linux },
  };
}

export function containerConfig(name: string, more: object = {}) {
  return { metadata: { name }, image: { image: testImage }, command: ["sleep", "1000"], ...more };
}

/** Waits until a container has ended, without leaving a trace in the record. */
export async function ended({ peek }: Subject, containerId: string): Promise<void> {
  await eventually(`the end of container ${containerId}`, async () => {
    const answer = await peek("ContainerStatus", { containerId });
    return answer?.status?.state !== "CONTAINER_RUNNING";
  });
}
