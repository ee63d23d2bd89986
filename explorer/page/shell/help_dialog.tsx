/**
 * The help: keys and symbols.
 *
 * @module
 */

import { useEffect, useRef } from "preact/hooks";
import { COMMANDS } from "../commands.ts";
import { GROUP_WORDS, GROUPS, KINDS } from "../kinds.ts";

const KEY_WORDS: Readonly<Record<string, string>> = {
  " ": "Space",
  ArrowRight: "→",
  ArrowLeft: "←",
  ArrowUp: "↑",
  ArrowDown: "↓",
  PageUp: "Page Up",
  PageDown: "Page Down",
};

/** A dialog, which Escape closes. */
export function HelpDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) dialog.current!.showModal();
    else dialog.current!.close();
  }, [open]);
  return (
    <dialog ref={dialog} class="help" onClose={onClose} aria-label="Help">
      <header>
        <h2>Keys and symbols</h2>
        <button type="button" onClick={onClose}>Close</button>
      </header>
      <p>
        The unmodified driver and a software NIC ran together in this tab. Each step is something
        that one of them did. The NIC is a model of the 82599, register by register.
      </p>
      <div class="help-columns">
        <table>
          <caption>Keys</caption>
          <tbody>
            {COMMANDS.map(({ keys, words }) => (
              <tr key={words}>
                <th scope="row">
                  {keys.map((key) => <kbd key={key}>{KEY_WORDS[key] ?? key}</kbd>)}
                </th>
                <td>{words}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <table>
          <caption>Symbols</caption>
          <tbody>
            {Object.values(KINDS).map(({ symbol, words, group }) => (
              <tr key={words}>
                <th scope="row">
                  <span class={`symbol ${group}`}>{symbol}</span>
                </th>
                <td>{words}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <table>
          <caption>Colours</caption>
          <tbody>
            {GROUPS.map((group) => (
              <tr key={group}>
                <th scope="row">
                  <span class={`swatch ${group}`}></span>
                </th>
                <td>{GROUP_WORDS[group]}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </dialog>
  );
}
