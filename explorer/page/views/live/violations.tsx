/**
 * The rules of the datasheet that the driver has broken.
 *
 * @module
 */

import type { LiveState } from "../../../recording/live.ts";
import { sectionWords } from "../../section_words.ts";

/** A list of violations, newest first. */
export function Violations({ violations }: Pick<LiveState, "violations">) {
  return (
    <section class="violations">
      <h2>Broken rules</h2>
      {violations.length === 0
        ? <p class="nothing">The driver has broken no rule of the datasheet.</p>
        : (
          <ol>
            {violations.toReversed().map(({ port, register, section, rule, detail }, i) => (
              <li key={violations.length - i}>
                <b>{register}</b>, port {port}: {rule}{" "}
                <span class="section">{sectionWords(section)}</span>
                {detail && <p>{detail}</p>}
              </li>
            ))}
          </ol>
        )}
    </section>
  );
}
