import { addressOf, errno, lastError, libc } from "./libc.ts";

const AF_UNIX = 1;
const types = { stream: 1, seqpacket: 5 } as const;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const EAGAIN = 11;
/** Too many descriptors are on their way, or there is no memory for one more message: it passes. */
const noRoom: ReadonlySet<number> = new Set([12 /* ENOMEM */, 105 /* ENOBUFS */, 109 /* ETOOMANYREFS */]);
const EPIPE = 32;
const ECONNRESET = 104;
/** Read at once, bytes. */
const messageBytes = 4096;
/** Offset of a control message's data: after its length, level and type. */
const cmsgData = 16;

/** Two ends of a socket, both closed on exec. Whoever takes an end closes it. */
export function openSocketPair(type: keyof typeof types): { ours: number; theirs: number } {
  const ends: [number, number] = [-1, -1];
  if (libc.socketpair(AF_UNIX, types[type] | SOCK_CLOEXEC, 0, ends) < 0) throw lastError("socketpair", "");
  return { ours: ends[0], theirs: ends[1] };
}

/** struct msghdr of 64-bit Linux, with one vector. What it points to must be kept by the caller. */
function messageHeader(data: Buffer, control: Buffer): { header: Buffer; vector: Buffer } {
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(data), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(addressOf(vector), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(addressOf(control), 32);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  return { header, vector };
}

/**
 * sendmsg(2) of a packet, one byte of nothing for none, and copies of descriptors, without waiting: "full" when it would have
 * to, "gone" without a peer.
 */
export function sendDescriptors(
  socket: number,
  descriptors: readonly number[],
  data: Buffer = Buffer.alloc(1),
): "sent" | "full" | "gone" {
  const length = cmsgData + 4 * descriptors.length;
  const control = Buffer.alloc((length + 7) & ~7);
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  descriptors.forEach((fd, index) => {
    control.writeInt32LE(fd, cmsgData + 4 * index);
  });
  const { header, vector } = messageHeader(data, control);
  const sent = libc.sendmsg(socket, header, MSG_DONTWAIT | MSG_NOSIGNAL);
  // What the header points to had to be kept until here.
  if (sent === data.length && vector.length + control.length > 0) return "sent";
  const code = errno();
  if (code === EAGAIN || noRoom.has(code)) return "full";
  if (code === EPIPE || code === ECONNRESET) return "gone";
  throw lastError("sendmsg", "");
}

export interface Message {
  /** Empty at the end of the stream. */
  data: Buffer;
  /** The descriptor that came along, closed on exec; the receiver's to close. */
  fd?: number;
}

/** recvmsg(2), without waiting: what has come, and at most one descriptor with it; undefined when nothing has come yet. */
export function receiveNow(socket: number): Message | undefined {
  const data = Buffer.alloc(messageBytes);
  const control = Buffer.alloc(24);
  const { header, vector } = messageHeader(data, control);
  const received = libc.recvmsg(socket, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0 || vector.length === 0) {
    if (errno() === EAGAIN) return undefined;
    throw lastError("recvmsg", "");
  }
  const part = data.subarray(0, received);
  const [length, level, type] = [control.readBigUInt64LE(0), control.readInt32LE(8), control.readInt32LE(12)];
  if (length < BigInt(cmsgData + 4) || level !== SOL_SOCKET || type !== SCM_RIGHTS) return { data: part };
  return { data: part, fd: control.readInt32LE(cmsgData) };
}
