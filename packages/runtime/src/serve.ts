import { createStreamingServer, serveCRI } from "@hawser/cri";
import { imageService, imagesAdminService } from "./images/index.ts";
import { CallCounts } from "./metrics/calls.ts";
import { runtimeGauges } from "./metrics/gauges.ts";
import { serveMetrics } from "./metrics/serve.ts";
import type { OpenContext } from "./open-context.ts";
import type { Reloader } from "./reload.ts";
import { runtimeService } from "./service.ts";
import type { Exits } from "./store/exits.ts";
import type { Monitors } from "./store/monitors.ts";
import { streamingRuntime } from "./streaming-runtime.ts";

type Dependencies = OpenContext & { exits: Exits; monitors: Monitors; reloader: Reloader };

/**
 * Serves the streams, the CRI and the metrics, until `started` ends them. Resolves with where the metrics are, if anywhere.
 * Throws when the socket or a port is taken.
 */
export async function serve(
  dependencies: Dependencies,
  { socketPath }: { socketPath: string },
  started: AsyncDisposableStack,
): Promise<string | undefined> {
  const { config, log, metrics, images, reloader } = dependencies;
  const streaming = started.use(
    createStreamingServer({
      runtime: streamingRuntime(dependencies),
      address: config.streaming.address,
      port: config.streaming.port,
      idleTimeoutMs: () => config.streaming.idleTimeoutSeconds * 1000,
      streamCreationTimeoutMs: config.streaming.creationTimeoutSeconds * 1000,
      log: log.named("streaming"),
    }),
  );
  await streaming.start();
  const calls = new CallCounts();
  started.use(
    await serveCRI({
      socketPath,
      runtime: runtimeService({ ...dependencies, streaming }),
      images: imageService(images),
      uploads: imagesAdminService(images),
      onCall(report) {
        const { method, durationMs, error } = report;
        calls.record(report);
        metrics.record(method, durationMs / 1000, error !== undefined);
        if (error !== undefined) log.at(2, "call failed", { method, error });
        else log.at(5, "call", { method, milliseconds: Math.round(durationMs) });
      },
    }),
  );
  const gauges = () => runtimeGauges({ ...dependencies, streaming, reloader });
  const served = await serveMetrics({
    address: config.metrics.address,
    log: log.named("metrics"),
    collect: () => [...metrics.families(), ...calls.families(), ...gauges()],
  });
  if (served) started.use(served);
  return served?.address;
}
