// The server's time, as far as it is known here. A demo world runs faster than
// the wall, and clocks differ: what the server has seen cannot be in the future.

let ahead = 0

/** Notes a time the server told. */
export function witness(time: string | number): void {
  const lead = new Date(time).getTime() - Date.now()
  if (lead > ahead) ahead = lead
}

/** Now, by the server's clock, in Unix milliseconds. */
export const serverNow = () => Date.now() + ahead
