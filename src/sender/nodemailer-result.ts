/** One message, several transactions: what the caller of `sendMail` is told. No recipient is lost on the way. */
import type { MailMessage, NodemailerError, SentMessageInfo } from 'nodemailer';
import type { Grant } from '../redis/answer.ts';

/** What one of the granted IPs did. */
export type SentPart = {
  ip: string;
  ipId: string;
  /** The sends that it was granted; one for each recipient, unless `weight` says otherwise. */
  count: number;
  accepted: string[];
  rejected: string[];
  /** The last reply of the receiver, `null` if there was none. */
  response: string | null;
  /** The sends were given back, because no receiver was reached. */
  refunded: boolean;
};

/** As Nodemailer's, with one entry in `parts` for each IP that the message left from. */
export interface WarmlineSentInfo extends SentMessageInfo {
  accepted: string[];
  rejected: string[];
  rejectedErrors?: NodemailerError[];
  response: string;
  parts: SentPart[];
}

export type Outcome = { grant: Grant; recipients: string[]; refunded: boolean } & (
  | { info: Partial<SentMessageInfo>; error?: never }
  | { error: NodemailerError; info?: never }
);

/**
 * Some parts went out: an answer, which names the recipients of the others as rejected. None did: their error.
 * @throws the error of a part; of several the one that says to try again, as Nodemailer does with several recipients
 */
export function mergeOutcomes(mail: MailMessage, outcomes: readonly Outcome[]): WarmlineSentInfo {
  const parts = outcomes.map(partOf);
  const rejectedErrors = outcomes.flatMap(rejectedErrorsOf);
  const sent = outcomes.filter((one) => one.info !== undefined);
  if (sent.length === 0) throw worstOf(outcomes, rejectedErrors);

  const { from, to } = mail.message!.getEnvelope();
  return {
    ...sent[0]!.info,
    envelope: { from, to },
    messageId: mail.message!.messageId(),
    accepted: parts.flatMap(({ accepted }) => accepted),
    rejected: parts.flatMap(({ rejected }) => rejected),
    ...(rejectedErrors.length > 0 ? { rejectedErrors } : {}),
    response: sent.map(({ info }) => info.response ?? '').at(-1)!,
    parts,
  };
}

function partOf({ grant, recipients, refunded, info, error }: Outcome): SentPart {
  return {
    ip: grant.ip,
    ipId: grant.ipId,
    count: grant.count,
    accepted: info ? (info.accepted ?? recipients) : [],
    rejected: info ? (info.rejected ?? []) : recipients,
    response: (info ?? error)?.response ?? null,
    refunded,
  };
}

/** Nodemailer has one for each rejected recipient; a transaction that failed as a whole gets them here. */
function rejectedErrorsOf({ recipients, info, error }: Outcome): NodemailerError[] {
  const given = (info ?? error)?.rejectedErrors as NodemailerError[] | undefined;
  if (given || !error) return given ?? [];
  return recipients.map((recipient) =>
    Object.assign(new Error(error.message, { cause: error }), { ...error, recipient }),
  );
}

function worstOf(outcomes: readonly Outcome[], rejectedErrors: NodemailerError[]): Error {
  const errors = outcomes.flatMap(({ error }) => error ?? []);
  const error = errors.find(({ responseCode }) => !responseCode || responseCode < 500) ?? errors.at(-1)!;
  if (errors.length === 1) return error;
  return Object.assign(error, { rejected: outcomes.flatMap(({ recipients }) => recipients), rejectedErrors });
}
