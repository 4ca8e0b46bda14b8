export * from "./core.ts";
export * from "./exit-status.ts";
export * from "./status.ts";
