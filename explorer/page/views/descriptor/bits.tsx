/**
 * The four words of a descriptor with their bits by name.
 *
 * @module
 */

import { hex } from "../../../../src/registers.ts";
import { sectionWords } from "../../section_words.ts";
import { decode, type Decoded } from "./decode.ts";
import type { Format } from "./formats.ts";

const WORDS = [0, 1, 2, 3];

interface DescriptorBitsProps {
  readonly format: Format;
  /** The four words before the step. */
  readonly old: ArrayLike<number>;
  /** The four words after it. */
  readonly words: ArrayLike<number>;
}

/** The words of a descriptor in one format; bits that the step changes are marked. */
export function DescriptorBits({ format, old, words }: DescriptorBitsProps) {
  const decoded = decode(format, old, words);
  return (
    <table class="words">
      <caption>
        {format.name} <span class="section">{sectionWords(format.section)}</span>
      </caption>
      <tbody>
        {WORDS.map((word) => {
          const chips = decoded.filter(({ bits }) => bits.word === word);
          if (chips[0]?.bits.isAddress) return <Address key={word} decoded={chips[0]} />;
          if (decoded.some(({ bits }) => bits.isAddress && bits.word === word - 1)) return null;
          return (
            <tr key={word}>
              <th scope="row">word {word}</th>
              <td class="word">
                {old[word] !== words[word] && <del>{hex(old[word])}</del>}
                <code>{hex(words[word])}</code>
              </td>
              <td class="chips">
                {chips.map((bits) => <BitsChip key={bits.bits.name} decoded={bits} />)}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** The two words of an address. */
function Address({ decoded }: { decoded: Decoded }) {
  const { word } = decoded.bits;
  return (
    <tr>
      <th scope="row">words {word}, {word + 1}</th>
      <td colSpan={2} class="chips">
        <BitsChip decoded={decoded} />
      </td>
    </tr>
  );
}

function BitsChip({ decoded }: { decoded: Decoded }) {
  const { bits, old, value, changed, isFlag, isSet } = decoded;
  const look = isFlag ? isSet ? "chip chip-set" : "chip chip-clear" : "chip";
  const text = changed ? `${old} → ${value}` : value;
  return (
    <span class={changed ? `${look} changed` : look} title={`${bits.name}: ${bits.meaning}`}>
      {bits.name} <b>{text}</b>
    </span>
  );
}
