export * from "./container-names.ts";
export * from "./core.ts";
export * from "./exit-status.ts";
export * from "./name.ts";
export * from "./pod-options.ts";
export * from "./quantity.ts";
export * from "./selector.ts";
export * from "./status.ts";
