export { maxExtendedHeader, TarDecoder, type TarEntry, type TarEvent } from "./decoder.ts";
export { blockSize, buildHeader, hasContent, patchHeader, TarError, type TarHeader } from "./header.ts";
export { type PaxRecord, paxValue } from "./pax.ts";
export { endOfArchive, entryHead, padding, tarArchive, tarEntry } from "./writer.ts";
