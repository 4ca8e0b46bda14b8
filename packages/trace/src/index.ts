export * from "./exposition.ts";
export * from "./log.ts";
export * from "./metrics.ts";
export * from "./process-metrics.ts";
