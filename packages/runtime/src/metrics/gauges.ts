import type { Family, Sample } from "@hawser/trace";
import type { Context } from "../context.ts";
import type { Reloader } from "../reload.ts";
import { runtimeVersion } from "../server/version.ts";

/** The runtime's state in numbers, as it is now: all from memory. */
export function runtimeGauges({
  oci,
  sandboxes,
  containers,
  images,
  streaming,
  reloader,
}: Pick<Context, "oci" | "sandboxes" | "containers" | "images" | "streaming"> & { reloader: Reloader }): Family[] {
  const { tokens, sessions } = streaming.load();
  const { usedBytes } = images.fsInfo();
  const { successful, succeededAt } = reloader.last();
  return [
    gauge("build_info", "Always 1: what runs.", [
      { labels: { version: runtimeVersion, oci_runtime: oci.name, oci_runtime_version: oci.version }, value: 1 },
    ]),
    gauge("sandboxes", "Sandboxes by state.", byState(sandboxes.list(), ["ready", "notready"])),
    gauge("containers", "Containers by state.", byState(containers.list(), ["created", "running", "exited"])),
    gauge("images", "Images.", [{ value: images.list().length }]),
    gauge("image_bytes", "What the images' extracted layers take on the disk.", [{ value: usedBytes }]),
    gauge(
      "streaming_sessions",
      "Sessions under way at the streaming server.",
      Object.entries(sessions).map(([kind, value]) => ({ labels: { kind }, value })),
    ),
    gauge("streaming_tokens", "URLs given out whose clients have not come yet.", [{ value: tokens }]),
    gauge("config_last_reload_successful", "Could the configuration be read the last time?", [
      { value: Number(successful) },
    ]),
    gauge("config_last_reload_success_timestamp_seconds", "When it was last read, since 1970.", [
      { value: succeededAt / 1000 },
    ]),
  ];
}

function gauge(name: string, help: string, samples: Sample[]): Family {
  return { name: `hawser_runtime_${name}`, help, type: "gauge", samples };
}

/** Each state has its line, also at 0: an alert can tell none from unknown. */
function byState<State extends string>(records: { state: State }[], states: State[]): Sample[] {
  return states.map((state) => ({
    labels: { state },
    value: records.filter((record) => record.state === state).length,
  }));
}
