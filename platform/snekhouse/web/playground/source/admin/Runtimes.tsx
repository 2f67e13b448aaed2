import { useState } from "preact/hooks";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/Icon";
import { Scrolling } from "../parts/Scrolling";
import { Badge } from "../parts/Status";
import { described } from "../state/server";
import { bytes, seconds, words } from "../text/format";
import { type AdminRuntime, busy, failure, probe, profileOf } from "./state";

/** The runtimes: state, evaluations by status, last error. */
export function Runtimes({ found }: { found: AdminRuntime[] }) {
  const [profile, setProfile] = useState<{ name: string; text: string } | null>(null);
  const show = (name: string) =>
    profileOf(name).then(
      (text) => setProfile({ name, text }),
      (error: Error) => {
        failure.value = error;
      },
    );
  return (
    <section class="panel" aria-label="Runtimes">
      <header class="panel-head">
        <h2>Runtimes</h2>
      </header>
      <Scrolling class="wide-table" label="Runtimes">
        <table>
          <thead>
            <tr>
              {["Name", "Interpreter", "State", "Start", "Limits", "Evaluations", ""].map((title) => (
                <th key={title} scope="col">
                  {title || <span class="hidden">Actions</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {found.map((each) => (
              <Row key={each.name} each={each} onShow={() => show(each.name)} />
            ))}
          </tbody>
        </table>
      </Scrolling>
      {profile && (
        <Dialog title={`Profile of ${profile.name}`} onClose={() => setProfile(null)}>
          <Scrolling class="text profile" label="Profile">
            {profile.text}
          </Scrolling>
        </Dialog>
      )}
    </section>
  );
}

function Row({ each, onShow }: { each: AdminRuntime; onShow(): void }) {
  const counts = Object.entries(each.evaluations);
  const reasons = [each.reason, each.start_reason, each.last_error && `Last error: ${each.last_error}`].filter(Boolean);
  return (
    <>
      <tr>
        <th scope="row">
          {each.name} {each.default && <small class="faint">default</small>}
          {each.aliases.length > 0 && <div class="faint small">{each.aliases.join(", ")}</div>}
        </th>
        <td>{described(each)}</td>
        <td>
          <Badge name={each.status} />
        </td>
        <td>
          {each.start}
          {each.set_aside !== null && each.set_aside.modules.length > 0 && (
            <div class="faint small" title={each.set_aside.modules.join(", ")}>
              {each.set_aside.modules.length} modules set aside, {bytes(each.set_aside.memory)}
            </div>
          )}
        </td>
        <td class="small">
          {seconds(each.limits.wall_time)}
          {each.limits.memory !== null && `, ${bytes(each.limits.memory)}`}, {each.limits.processes} processes
        </td>
        <td class="small">
          {counts.map(([status, count]) => `${count} ${words(status)}`).join(", ") || <span class="faint">none</span>}
        </td>
        <td class="actions">
          <button type="button" disabled={busy.value !== ""} onClick={() => probe(each.name)}>
            <Icon name="refresh" /> {busy.value === each.name ? "Probing" : "Probe"}
          </button>
          <button type="button" class="quiet" onClick={onShow}>
            Profile
          </button>
        </td>
      </tr>
      {reasons.length > 0 && (
        <tr class="reason">
          <td colSpan={7}>{reasons.join(" ")}</td>
        </tr>
      )}
    </>
  );
}
