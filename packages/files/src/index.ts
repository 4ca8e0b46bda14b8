export * from "./open-flags.ts";
export * from "./plain-file.ts";
export * from "./remove-tree.ts";
