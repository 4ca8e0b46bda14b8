import { readdir } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Family } from "./exposition.ts";

/** How often the event loop's delay is looked at, milliseconds: 50 short wake-ups a second, while somebody wants to know. */
const resolution = 20;

/** This process, in the words that Prometheus' own client libraries use. */
export interface ProcessMetrics extends Disposable {
  /** The event loop's figures are those since the last call. */
  families(): Promise<Family[]>;
}

/** Starts to look at the event loop. Dispose it to stop. */
export function watchProcess(): ProcessMetrics {
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  let utilisation = performance.eventLoopUtilization();
  // The interval between two looks is no delay; and before the first look there is nothing.
  const seconds = (nanoseconds: number) => (delay.count > 0 ? Math.max(0, (nanoseconds - resolution * 1e6) / 1e9) : 0);
  return {
    async families() {
      const { user, system } = process.cpuUsage();
      const memory = process.memoryUsage();
      const openFiles = await readdir("/proc/self/fd").then(
        (names) => names.length - 1, // one is the folder itself
        () => Number.NaN,
      );
      const now = performance.eventLoopUtilization();
      const busy = performance.eventLoopUtilization(now, utilisation).utilization;
      utilisation = now;
      const families = [
        counter("process_cpu_seconds_total", "CPU time of this process, user and system.", (user + system) / 1e6),
        gauge("process_resident_memory_bytes", "Resident memory of this process.", memory.rss),
        gauge("process_open_fds", "Open file descriptors of this process.", openFiles),
        gauge("process_start_time_seconds", "When this process began, since 1970.", performance.timeOrigin / 1000),
        gauge("nodejs_heap_size_used_bytes", "V8's heap in use.", memory.heapUsed),
        gauge("nodejs_heap_size_total_bytes", "V8's heap.", memory.heapTotal),
        gauge("nodejs_external_memory_bytes", "Memory outside V8's heap that its objects hold.", memory.external),
        gauge("nodejs_eventloop_lag_mean_seconds", since("Mean"), seconds(delay.mean)),
        gauge("nodejs_eventloop_lag_p50_seconds", since("Median"), seconds(delay.percentile(50))),
        gauge("nodejs_eventloop_lag_p99_seconds", since("99th percentile of the"), seconds(delay.percentile(99))),
        gauge("nodejs_eventloop_lag_max_seconds", since("Longest"), seconds(delay.max)),
        gauge(
          "nodejs_eventloop_utilization",
          "Share of time in which the event loop was busy, since last asked.",
          busy,
        ),
      ];
      delay.reset();
      return families;
    },
    [Symbol.dispose]: () => {
      delay.disable();
    },
  };
}

function since(what: string): string {
  return `${what} delay of the event loop, since last asked.`;
}

function gauge(name: string, help: string, value: number): Family {
  return { name, help, type: "gauge", samples: [{ value }] };
}

function counter(name: string, help: string, value: number): Family {
  return { name, help, type: "counter", samples: [{ value }] };
}
