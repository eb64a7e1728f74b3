/** Why a take is denied, by its code. */
export const WHY: Readonly<Record<string, string>> = {
  status: 'its status gives no mail',
  hold: 'it is held',
  unpublished: 'nothing is published for it yet',
  day: 'the day is used up',
  hour: 'the hour is used up',
  burst: 'the bucket is empty',
  ceiling: 'the ceiling is reached',
  count: 'more at once than the limits allow',
  unreachable: 'Redis was out of reach',
};
