export {
  type ArchiveRequest,
  archiveCommand,
  archiveCommandLine,
  parseArchiveArguments,
  type RemotePath,
  remotePath,
} from "./archive-command.ts";
export { maxExtendedHeader, TarDecoder, type TarEntry, type TarEvent } from "./decoder.ts";
export { at, byteString, type Directory, type Files, hasCode, type OpenFile, shown } from "./files.ts";
export { blockSize, buildHeader, hasContent, patchHeader, TarError, type TarHeader } from "./header.ts";
export { localDirectory, localFiles } from "./local-files.ts";
export { staysInside } from "./names.ts";
export { contentHead, type PackedEntry, type PackOptions, packTree } from "./pack.ts";
export { type PaxRecord, paxValue } from "./pax.ts";
export { type Unpacked, Unpacker, type UnpackOptions } from "./unpack.ts";
export { endOfArchive, entryHead, padding, tarArchive, tarEntry } from "./writer.ts";
