import { addressOf, errno, lastError, libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const EAGAIN = 11;
/** Read at once, bytes. */
const messageBytes = 4096;

/** Two ends of a stream socket, both closed on exec. Whoever takes an end closes it. */
export function openSocketPair(): { ours: number; theirs: number } {
  const ends: [number, number] = [-1, -1];
  if (libc.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) throw lastError("socketpair", "");
  return { ours: ends[0], theirs: ends[1] };
}

export interface Message {
  /** Empty at the end of the stream. */
  data: Buffer;
  /** The descriptor that came along, closed on exec; the receiver's to close. */
  fd?: number;
}

/**
 * recvmsg(2), without waiting: what has come, and at most one descriptor with it; undefined when nothing has come yet.
 * struct msghdr and cmsghdr of 64-bit Linux.
 */
export function receiveNow(socket: number): Message | undefined {
  const data = Buffer.alloc(messageBytes);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(data), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const control = Buffer.alloc(64);
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(addressOf(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const received = libc.recvmsg(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) {
    if (errno() === EAGAIN) return undefined;
    throw lastError("recvmsg", "");
  }
  const part = data.subarray(0, received);
  const [length, level, type] = [control.readBigUInt64LE(0), control.readInt32LE(8), control.readInt32LE(12)];
  if (length < 20n || level !== SOL_SOCKET || type !== SCM_RIGHTS) return { data: part };
  return { data: part, fd: control.readInt32LE(16) };
}
