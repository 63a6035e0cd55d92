"""Every operation of the API, for code that waits and code that awaits.

Made by `./plantroom api renew` from the OpenAPI document; not to be edited.
"""

# fmt: off
from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Literal, cast

from plantroom_client import models as m
from plantroom_client.transport import AsyncTransport, Call, Transport, quoted


class Plantroom(Transport):
    """The API for code that waits for each answer."""

    def acknowledge_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Say that somebody has seen it."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/acknowledge", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def acknowledge_alarms(self, body: m.AcknowledgeIn, *, key: str | None = None) -> m.AcknowledgedList:
        """Acknowledge what can be, and say of each what became of it."""
        return cast('m.AcknowledgedList', self.call(Call("POST", "/v1/alarms/acknowledge", {}, key=key, body=body, kinds=('application/json',))))

    def add_account(self, body: m.AccountIn, *, key: str | None = None) -> m.AccountMade:
        """It may what you say, and no more than you may; its secret is shown only now."""
        return cast('m.AccountMade', self.call(Call("POST", "/v1/service-accounts", {}, key=key, body=body, kinds=('application/json',))))

    def add_alarm_note(self, alarm: int, body: m.AlarmTextIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Add words to its history."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/notes", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def add_alarm_receiver(self, body: m.MailReceiver | m.HookReceiver, *, key: str | None = None) -> m.ReceiverItem:
        """Have somebody told. The secret of a webhook is shown now and never again."""
        return cast('m.ReceiverItem', self.call(Call("POST", "/v1/alarm-receivers", {}, key=key, body=body, kinds=('application/json',))))

    def add_alarm_rule(self, body: m.AlarmRuleIn, *, key: str | None = None) -> m.RuleItem:
        """Say what is an alarm. Evaluation begins with the newest samples."""
        return cast('m.RuleItem', self.call(Call("POST", "/v1/alarm-rules", {}, key=key, body=body, kinds=('application/json',))))

    def add_command_rule(self, body: m.CommandRuleIn, *, key: str | None = None) -> m.CommandRuleOut:
        """Want a second person for points of the company, or for all of them, from now on."""
        return cast('m.CommandRuleOut', self.call(Call("POST", "/v1/command-rules", {}, key=key, body=body, kinds=('application/json',))))

    def add_configuration_version(self, gateway: str, body: m.VersionIn, *, key: str | None = None) -> m.ConfigurationVersionOut:
        """Keep a version; no gateway is told of it until it is staged."""
        return cast('m.ConfigurationVersionOut', self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/configuration/versions", {}, key=key, body=body, kinds=('application/json',))))

    def add_enrolment_token(self, body: m.EnrolmentTokenIn, *, key: str | None = None) -> m.EnrolmentTokenOut:
        """A token for one device at one site, good once and for at most 72 hours; shown only now."""
        return cast('m.EnrolmentTokenOut', self.call(Call("POST", "/v1/gateways/enrolment-tokens", {}, key=key, body=body, kinds=('application/json',))))

    def add_governance_rule(self, body: m.RuleIn, *, key: str | None = None) -> m.GovernanceRuleOut:
        """Make a rule of the company's own; every site is checked by it soon."""
        return cast('m.GovernanceRuleOut', self.call(Call("POST", "/v1/governance/rules", {}, key=key, body=body, kinds=('application/json',))))

    def add_governance_waiver(self, site: int, body: m.WaiverIn, *, key: str | None = None) -> m.WaiverOut:
        """Put up with what a rule finds, for some days and for a reason; then it counts again."""
        return cast('m.WaiverOut', self.call(Call("POST", f"/v1/governance/sites/{quoted(site)}/waivers", {}, key=key, body=body, kinds=('application/json',))))

    def add_invitation(self, body: m.InvitationIn, *, key: str | None = None) -> m.InvitationMade:
        """Nothing is sent: give the token to whom you invite; it is accepted at /oauth/token."""
        return cast('m.InvitationMade', self.call(Call("POST", "/v1/invitations", {}, key=key, body=body, kinds=('application/json',))))

    def add_key(self, body: m.KeyIn, *, key: str | None = None) -> m.KeyMade:
        """A key that may what you say, and no more than you may; it is shown only now."""
        return cast('m.KeyMade', self.call(Call("POST", "/v1/api-keys", {}, key=key, body=body, kinds=('application/json',))))

    def add_override(self, body: m.OverrideIn, *, key: str | None = None) -> m.OverrideOut:
        """Publish another model, point, unit, sign or multiplier; it ends the one about the same."""
        return cast('m.OverrideOut', self.call(Call("POST", "/v1/mapping-overrides", {}, key=key, body=body, kinds=('application/json',))))

    def add_webhook(self, body: m.WebhookIn, *, key: str | None = None) -> m.WebhookMade:
        """Tell an https address what happens. The secret in the answer is shown this once."""
        return cast('m.WebhookMade', self.call(Call("POST", "/v1/webhooks", {}, key=key, body=body, kinds=('application/json',))))

    def apply_plan(self, site: int, body: m.ApplyIn, *, key: str | None = None) -> m.PlanOut:
        """Have the worker do the steps that were shown; doing it again does nothing twice.

        The answer comes at once; `result` of the plan tells what became of each step.
        """
        return cast('m.PlanOut', self.call(Call("POST", f"/v1/sites/{quoted(site)}/publishing/apply", {}, key=key, body=body, kinds=('application/json',))))

    def ask_for_company_export(self, *, key: str | None = None) -> m.ExportOut:
        """Have the worker write all that the company owns, as of one moment; secrets are left out."""
        return cast('m.ExportOut', self.call(Call("POST", "/v1/governance/exports", {}, key=key)))

    def ask_for_plan(self, site: int, *, key: str | None = None) -> m.PlanOut:
        """Have the worker compare what should be published with what is there; nothing is changed."""
        return cast('m.PlanOut', self.call(Call("POST", f"/v1/sites/{quoted(site)}/publishing/plan", {}, key=key)))

    def assign_alarm(self, alarm: int, body: m.AssignIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Say who looks after it."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/assign", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def cancel_configuration_assignment(self, assignment: str, *, key: str | None = None) -> m.AssignmentDetail:
        """Have a gateway not get what has not reached it; 409 where it is tried, or has ended."""
        return cast('m.AssignmentDetail', self.call(Call("POST", f"/v1/configuration-assignments/{quoted(assignment)}/cancel", {}, key=key)))

    def cancel_configuration_rollout(self, rollout: str, *, key: str | None = None) -> m.RolloutDetail:
        """Let no more gateways get it; those that have it keep it."""
        return cast('m.RolloutDetail', self.call(Call("POST", f"/v1/configuration-rollouts/{quoted(rollout)}/cancel", {}, key=key)))

    def cancel_deletion(self, deletion: str, *, key: str | None = None) -> m.DeletionOut:
        """Take a plan back that nobody has confirmed."""
        return cast('m.DeletionOut', self.call(Call("DELETE", f"/v1/governance/deletions/{quoted(deletion)}", {}, key=key)))

    def cancel_job(self, job: str, *, key: str | None = None) -> m.JobOut:
        """End it; what it has found so far stays to be read, and what it has published stays."""
        return cast('m.JobOut', self.call(Call("POST", f"/v1/jobs/{quoted(job)}/cancel", {}, key=key)))

    def change_account(self, account: int, body: m.AccountChange, *, if_match: str | None = None, key: str | None = None) -> m.IdentityAccountOut:
        """Another name, other scopes or sites, or whether it is let in; effective within seconds."""
        return cast('m.IdentityAccountOut', self.call(Call("PATCH", f"/v1/service-accounts/{quoted(account)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def change_alarm_receiver(self, receiver: int, body: m.MailReceiver | m.HookReceiver, *, if_match: str | None = None, key: str | None = None) -> m.ReceiverItem:
        """Replace what a receiver wants; what waits for it is tried at once."""
        return cast('m.ReceiverItem', self.call(Call("PUT", f"/v1/alarm-receivers/{quoted(receiver)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def change_alarm_rule(self, rule: int, body: m.AlarmRuleIn, *, if_match: str | None = None, key: str | None = None) -> m.RuleItem:
        """Replace what a rule says; what is on and still beyond its limit calls nobody again."""
        return cast('m.RuleItem', self.call(Call("PUT", f"/v1/alarm-rules/{quoted(rule)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def change_governance_rule(self, rule: str, body: m.RuleChange, *, if_match: str | None = None, key: str | None = None) -> m.GovernanceRuleOut:
        """Say anew what a rule of the company's own is, or set a built-in one: on, severity, numbers."""
        return cast('m.GovernanceRuleOut', self.call(Call("PUT", f"/v1/governance/rules/{quoted(rule)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def change_key(self, key_id: int, body: m.KeyChange, *, if_match: str | None = None, key: str | None = None) -> m.IdentityKeyOut:
        """Another name, other scopes or sites; effective within seconds."""
        return cast('m.IdentityKeyOut', self.call(Call("PATCH", f"/v1/api-keys/{quoted(key_id)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def change_me(self, body: m.MeIn, *, key: str | None = None) -> m.IdentityDoneOut:
        """What others read beside the address; a program has its name from its administrator."""
        return cast('m.IdentityDoneOut', self.call(Call("PATCH", "/v1/me", {}, key=key, body=body, kinds=('application/json',))))

    def change_password(self, body: m.PasswordIn, *, key: str | None = None) -> m.IdentityDoneOut:
        """Every session of mine ends, this one too; log in with the new password."""
        return cast('m.IdentityDoneOut', self.call(Call("POST", "/v1/me/password", {}, key=key, body=body, kinds=('application/json',))))

    def change_user(self, user: int, body: m.UserIn, *, if_match: str | None = None, key: str | None = None) -> m.UserOut:
        """Another role, other sites, or whether it is let in; effective within seconds."""
        return cast('m.UserOut', self.call(Call("PATCH", f"/v1/users/{quoted(user)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def change_webhook(self, webhook: int, body: m.WebhookChange, *, if_match: str | None = None, key: str | None = None) -> m.WebhookOut:
        """Change what is given; what is left out stays."""
        return cast('m.WebhookOut', self.call(Call("PATCH", f"/v1/webhooks/{quoted(webhook)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def check_governance(self, *, key: str | None = None) -> m.LaterOut:
        """Have the worker check every site; `checked` of `GET /v1/governance/sites` says when it has."""
        return cast('m.LaterOut', self.call(Call("POST", "/v1/governance/check", {}, key=key)))

    def check_governance_site(self, site: int, *, key: str | None = None) -> m.CheckedOut:
        """Apply all rules to a site now, and say what is new, what still is and what is closed."""
        return cast('m.CheckedOut', self.call(Call("POST", f"/v1/governance/sites/{quoted(site)}/check", {}, key=key)))

    def check_site(self, site: int, *, target: Literal['enos', 'brick', 'haystack'] | None = None) -> m.SchemaCheckOut:
        """What does not fit: points missing or claimed twice, types, units, models there are not."""
        return cast('m.SchemaCheckOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}/schema-check", {'target': target})))

    def claim_gateway(self, body: m.ClaimIn, *, key: str | None = None) -> m.ClaimedOut:
        """Make the device that shows this code and this fingerprint a gateway of one of your sites.

        It succeeds once. Five wrong tries lock the code, twenty within an hour lock you out.
        """
        return cast('m.ClaimedOut', self.call(Call("POST", "/v1/gateways/claim", {}, key=key, body=body, kinds=('application/json',))))

    def confirm_command(self, command: str, *, key: str | None = None) -> m.CommandOut:
        """Let a command go that waits for a second person: anybody who may write but whoever gave it."""
        return cast('m.CommandOut', self.call(Call("POST", f"/v1/commands/{quoted(command)}/confirm", {}, key=key)))

    def confirm_deletion(self, deletion: str, body: m.ConfirmIn, *, key: str | None = None) -> m.DeletionOut:
        """Have the worker delete what was planned. Nothing brings it back.

        A company is closed at once: its keys, accounts and members get in no more, this one too; whoever
        runs the service has the certificate then.
        """
        return cast('m.DeletionOut', self.call(Call("POST", f"/v1/governance/deletions/{quoted(deletion)}/confirm", {}, key=key, body=body, kinds=('application/json',))))

    def delete_account(self, account: int, *, key: str | None = None) -> m.IdentityAccountOut:
        """It and its tokens open nothing any more."""
        return cast('m.IdentityAccountOut', self.call(Call("DELETE", f"/v1/service-accounts/{quoted(account)}", {}, key=key)))

    def delete_alarm_receiver(self, receiver: int, *, if_match: str | None = None, key: str | None = None) -> m.ReceiverItem:
        """Tell it no more; what waits for it is dropped."""
        return cast('m.ReceiverItem', self.call(Call("DELETE", f"/v1/alarm-receivers/{quoted(receiver)}", {}, if_match=if_match, key=key)))

    def delete_alarm_rule(self, rule: int, *, if_match: str | None = None, key: str | None = None) -> m.RuleItem:
        """End its alarms; their history stays."""
        return cast('m.RuleItem', self.call(Call("DELETE", f"/v1/alarm-rules/{quoted(rule)}", {}, if_match=if_match, key=key)))

    def delete_consumer(self, consumer: str, *, key: str | None = None) -> m.ConsumerGone:
        """Its position is gone: the next replay of that name begins anew; a running one ends."""
        return cast('m.ConsumerGone', self.call(Call("DELETE", f"/v1/replays/{quoted(consumer)}", {}, key=key)))

    def delete_model(self, model: str, *, if_match: str | None = None, key: str | None = None) -> m.DeletedOut:
        """Let one of the company's own models hold no more; its versions stay to be seen."""
        return cast('m.DeletedOut', self.call(Call("DELETE", f"/v1/thing-models/{quoted(model)}", {}, if_match=if_match, key=key)))

    def delete_override(self, override: int, *, key: str | None = None) -> m.DeletedOut:
        """Let an override hold no more; it stays to be seen with `ended`."""
        return cast('m.DeletedOut', self.call(Call("DELETE", f"/v1/mapping-overrides/{quoted(override)}", {}, key=key)))

    def delete_webhook(self, webhook: int, *, key: str | None = None) -> m.WebhookDeleted:
        """Tell an address nothing more; what was to be sent to it is gone, too."""
        return cast('m.WebhookDeleted', self.call(Call("DELETE", f"/v1/webhooks/{quoted(webhook)}", {}, key=key)))

    def diff_configurations(self, gateway: str, *, old: str | None = None, new: str | None = None) -> m.ConfigurationDiffOut:
        """What lies between two configurations of a gateway, in words of the field.

        Where nothing else is asked: between what it runs and its newest version.
        """
        return cast('m.ConfigurationDiffOut', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/diff", {'old': old, 'new': new})))

    def discard(self, gateway: str, row: int, body: m.Discard, *, key: str | None = None) -> m.DecisionOut:
        """Decide that it will never be stored, and why; it stays to be seen and counted."""
        return cast('m.DecisionOut', self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/quarantine/{quoted(row)}/discard", {}, key=key, body=body, kinds=('application/json',))))

    def drop_governance_rule(self, rule: str, *, if_match: str | None = None, key: str | None = None) -> m.DroppedOut:
        """Delete a rule of the company's own, or let a built-in one be as it comes."""
        return cast('m.DroppedOut', self.call(Call("DELETE", f"/v1/governance/rules/{quoted(rule)}", {}, if_match=if_match, key=key)))

    def end_governance_waiver(self, waiver: int, *, if_match: str | None = None, key: str | None = None) -> m.WaiverOut:
        """Let what was waived count again; the waiver stays to be seen."""
        return cast('m.WaiverOut', self.call(Call("DELETE", f"/v1/governance/waivers/{quoted(waiver)}", {}, if_match=if_match, key=key)))

    def end_session(self, session_id: int, *, key: str | None = None) -> m.SessionOut:
        """Its tokens open nothing any more: here at once, in other processes within seconds."""
        return cast('m.SessionOut', self.call(Call("DELETE", f"/v1/me/sessions/{quoted(session_id)}", {}, key=key)))

    def end_sessions(self, user: int, *, key: str | None = None) -> m.EndedOut:
        """End all sessions of a member: effective within seconds."""
        return cast('m.EndedOut', self.call(Call("DELETE", f"/v1/users/{quoted(user)}/sessions", {}, key=key)))

    def expect_gateways(self, body: m.ListIn, *, key: str | None = None) -> m.ListOut:
        """A list of devices that become gateways of a site when they begin, with nobody before them.

        A fingerprint that another list has is refused: the first one counts.
        """
        return cast('m.ListOut', self.call(Call("POST", "/v1/gateways/expected", {}, key=key, body=body, kinds=('application/json',))))

    def export_chain(self, *, since: int | None = None) -> bytes:
        """All rows as they were hashed, and the signed heads, a line of JSON each.

        docs/audit.md has the ten lines of code that verify it.
        """
        return self.fetch(Call("GET", "/v1/audit/export", {'since': since}))

    def export_site(self, site: int, *, format_: Literal['haystack', 'haystack-v3', 'brick', 'enos', 'csv', 'spreadsheet'] | None = None, accepted: bool | None = None) -> bytes:
        """Points with equipment, classes, relations and thing-model points, of one moment.

        Every format holds all of it: what is exported can be imported again as it was.
        """
        return self.fetch(Call("GET", f"/v1/sites/{quoted(site)}/export", {'format': format_, 'accepted': accepted}))

    def get_account(self, gateway: str, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None) -> m.GatewaysAccountOut:
        """Where every row is that the gateway ever accepted: stored, refused, lost or still there.

        One consistent snapshot: accepted = stored + quarantined + gaps + on_edge holds at any moment.
        """
        return cast('m.GatewaysAccountOut', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/account", {'stream': stream})))

    def get_alarm(self, alarm: int) -> m.AlarmItem:
        """An alarm as it stands."""
        return cast('m.AlarmItem', self.call(Call("GET", f"/v1/alarms/{quoted(alarm)}", {})))

    def get_alarm_figures(self, *, site: int | None = None, from_: str | None = None, to: str | None = None, operators: int | None = None) -> m.AlarmFigures:
        """Calls per operator and ten minutes, floods, the ten worst, chattering, standing and stale.

        Without `from` of the last day; at most 31 days.
        """
        return cast('m.AlarmFigures', self.call(Call("GET", "/v1/alarms/figures", {'site': site, 'from': from_, 'to': to, 'operators': operators})))

    def get_alarm_receiver(self, receiver: int) -> m.ReceiverItem:
        """A receiver, and how it takes its messages."""
        return cast('m.ReceiverItem', self.call(Call("GET", f"/v1/alarm-receivers/{quoted(receiver)}", {})))

    def get_alarm_rule(self, rule: int) -> m.RuleItem:
        """A rule as it holds."""
        return cast('m.RuleItem', self.call(Call("GET", f"/v1/alarm-rules/{quoted(rule)}", {})))

    def get_command(self, command: str) -> m.CommandOut:
        """A command with all that has happened to it."""
        return cast('m.CommandOut', self.call(Call("GET", f"/v1/commands/{quoted(command)}", {})))

    def get_company_export(self, export: str) -> m.ExportOut:
        """How far an export is, and its files with their SHA-256: the manifest."""
        return cast('m.ExportOut', self.call(Call("GET", f"/v1/governance/exports/{quoted(export)}", {})))

    def get_company_export_file(self, export: str, file: str) -> bytes:
        """The rows of one table, a line of JSON each; the SHA-256 of the manifest is of these bytes."""
        return self.fetch(Call("GET", f"/v1/governance/exports/{quoted(export)}/files/{quoted(file)}", {}))

    def get_configuration(self, gateway: str) -> m.ConfigurationOut:
        """What a gateway is to run, what it runs, and what stands between."""
        return cast('m.ConfigurationOut', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration", {})))

    def get_configuration_assignment(self, assignment: str) -> m.AssignmentDetail:
        """An assignment with its history."""
        return cast('m.AssignmentDetail', self.call(Call("GET", f"/v1/configuration-assignments/{quoted(assignment)}", {})))

    def get_configuration_rollout(self, rollout: str) -> m.RolloutDetail:
        """A rollout with its gateways."""
        return cast('m.RolloutDetail', self.call(Call("GET", f"/v1/configuration-rollouts/{quoted(rollout)}", {})))

    def get_configuration_version(self, gateway: str, version: int) -> m.VersionDetail:
        """A version with its document."""
        return cast('m.VersionDetail', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/versions/{quoted(version)}", {})))

    def get_deletion(self, deletion: str) -> m.DeletionOut:
        """How far a deletion is, and at its end the certificate."""
        return cast('m.DeletionOut', self.call(Call("GET", f"/v1/governance/deletions/{quoted(deletion)}", {})))

    def get_diff(self, model: str, *, old: int | None = None, new: int | None = None) -> m.ThingmodelsDiffOut:
        """How two versions differ; by default the newest and the one before, or the built-in one."""
        return cast('m.ThingmodelsDiffOut', self.call(Call("GET", f"/v1/thing-models/{quoted(model)}/diff", {'old': old, 'new': new})))

    def get_estimate(self, *, site: int | None = None) -> m.LlmPlan:
        """Calls, tokens and money that asking about the open templates would take; nothing is asked."""
        return cast('m.LlmPlan', self.call(Call("GET", "/v1/llm/estimate", {'site': site})))

    def get_feature(self, feature: str) -> m.FeatureOut:
        """One feature, and how it is for the company."""
        return cast('m.FeatureOut', self.call(Call("GET", f"/v1/features/{quoted(feature)}", {})))

    def get_figures(self, site: int, equipment: str, *, from_: str | None = None, to: str | None = None, rated_kwh: float | None = None, rated_kw: float | None = None, charge_positive: bool | None = None) -> m.BatteryFigures:
        """Energy in and out, equivalent full cycles and round-trip efficiency over at most 31 days.

        Each with coverage and grade; power > 0 discharges. What is not known is null and says why.
        """
        return cast('m.BatteryFigures', self.call(Call("GET", f"/v1/batteries/{quoted(site)}/{quoted(equipment)}/metrics", {'from': from_, 'to': to, 'rated_kwh': rated_kwh, 'rated_kw': rated_kw, 'charge_positive': charge_positive})))

    def get_finding(self, gateway: str, finding: str) -> m.FindingsFindingOut:
        """One event with its evidence."""
        return cast('m.FindingsFindingOut', self.call(Call("GET", f"/v1/findings/{quoted(gateway)}/{quoted(finding)}", {})))

    def get_gateway(self, gateway: str) -> m.GatewayOut:
        """One edge agent, with what it last reported."""
        return cast('m.GatewayOut', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}", {})))

    def get_governance_gate(self, site: int) -> m.GateOut:
        """Whether the site may be published as it is now, and what is in the way."""
        return cast('m.GateOut', self.call(Call("GET", f"/v1/governance/sites/{quoted(site)}/gate", {})))

    def get_governance_rule(self, rule: str) -> m.GovernanceRuleOut:
        """A rule as it is applied."""
        return cast('m.GovernanceRuleOut', self.call(Call("GET", f"/v1/governance/rules/{quoted(rule)}", {})))

    def get_governance_site(self, site: int) -> m.ScoreOut:
        """What the last check of a site came to, rule by rule."""
        return cast('m.ScoreOut', self.call(Call("GET", f"/v1/governance/sites/{quoted(site)}", {})))

    def get_health(self) -> m.HealthOut:
        """State, age of the last success and latency of all that the service needs.

        200 also where something fails: `status` says `degraded` then. What is about your company alone
        is: its jobs, and the platforms that it publishes to.
        """
        return cast('m.HealthOut', self.call(Call("GET", "/v1/health/detail", {})))

    def get_history(self, site: int, *, limit: int | None = None, after: str | None = None) -> m.HistoryPage:
        """Every decision with who, when and what stood there before, the newest first."""
        return cast('m.HistoryPage', self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/history", {'limit': limit, 'after': after})))

    def all_history(self, site: int, *, limit: int | None = None) -> Iterator[m.EventOut]:
        """Every item of `get_history`, page by page."""
        call = Call("GET", f"/v1/sites/{quoted(site)}/review/history", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.EventOut', item)

    def get_job(self, job: str) -> m.JobOut:
        """A job with its stages, figures and troubles."""
        return cast('m.JobOut', self.call(Call("GET", f"/v1/jobs/{quoted(job)}", {})))

    def get_key(self, key_id: int) -> m.IdentityKeyOut:
        """A key with its scopes, and when it was last used."""
        return cast('m.IdentityKeyOut', self.call(Call("GET", f"/v1/api-keys/{quoted(key_id)}", {})))

    def get_latest(self, point: int) -> m.LatestOut:
        """The newest sample of one point; 404 with code `no_sample` where it never had one."""
        return cast('m.LatestOut', self.call(Call("GET", f"/v1/points/{quoted(point)}/latest", {})))

    def get_licence(self) -> m.LicenceOut:
        """What the company may have, and how near it is to that."""
        return cast('m.LicenceOut', self.call(Call("GET", "/v1/licence", {})))

    def get_llm(self) -> m.LlmStatus:
        """Whether an LLM refines the mapping, what it may use, what it has used and done."""
        return cast('m.LlmStatus', self.call(Call("GET", "/v1/llm", {})))

    def get_me(self) -> m.MeOut:
        """Who asks, for which company, and what that may do."""
        return cast('m.MeOut', self.call(Call("GET", "/v1/me", {})))

    def get_model(self, model: str, *, version: int | None = None) -> m.ModelDetail:
        """A model with its points, as it stands in one version, and the history of all."""
        return cast('m.ModelDetail', self.call(Call("GET", f"/v1/thing-models/{quoted(model)}", {'version': version})))

    def get_overview(self, site: int) -> m.OverviewOut:
        """What is open, and what share of it can be accepted at which precision, before anybody does."""
        return cast('m.OverviewOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}/review", {})))

    def get_plan(self, site: int) -> m.PlanOut:
        """What would have to be done on the platform; `state` says whether it is made yet."""
        return cast('m.PlanOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}/publishing/plan", {})))

    def get_point(self, point: int) -> m.PointOut:
        """One readable value with what it was mapped to."""
        return cast('m.PointOut', self.call(Call("GET", f"/v1/points/{quoted(point)}", {})))

    def get_publishing(self, site: int) -> m.PublishingOut:
        """What of a site is published, what is still to be, and its newest plan."""
        return cast('m.PublishingOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}/publishing", {})))

    def get_quarantined(self, gateway: str, row: int) -> m.QuarantinedDetail:
        """A refused row with what it says, and what its alias means."""
        return cast('m.QuarantinedDetail', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/quarantine/{quoted(row)}", {})))

    def get_queue(self, site: int, *, state: Literal['open', 'deferred', 'decided', 'all'] | None = None, limit: int | None = None, after: str | None = None) -> m.TemplatePage:
        """Templates by points covered times uncertainty: one answer decides all points of one."""
        return cast('m.TemplatePage', self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/queue", {'state': state, 'limit': limit, 'after': after})))

    def all_queue(self, site: int, *, state: Literal['open', 'deferred', 'decided', 'all'] | None = None, limit: int | None = None) -> Iterator[m.TemplateOut]:
        """Every item of `get_queue`, page by page."""
        call = Call("GET", f"/v1/sites/{quoted(site)}/review/queue", {'state': state, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.TemplateOut', item)

    def get_rules(self, site: int) -> m.RulesOut:
        """What was learned from answers, and what people have written: a line each."""
        return cast('m.RulesOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/rules", {})))

    def get_service_account(self, account: int) -> m.IdentityAccountOut:
        """A service account with its scopes."""
        return cast('m.IdentityAccountOut', self.call(Call("GET", f"/v1/service-accounts/{quoted(account)}", {})))

    def get_site(self, site: int) -> m.SitesSiteOut:
        """One building or plant."""
        return cast('m.SitesSiteOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}", {})))

    def get_site_account(self, site: int, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None) -> m.SiteAccountOut:
        """The sum of its gateways' accounts, and each of them, at one moment."""
        return cast('m.SiteAccountOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}/account", {'stream': stream})))

    def get_site_description(self, site: int) -> m.GovernanceSiteOut:
        """Where a site is, and how its points are named."""
        return cast('m.GovernanceSiteOut', self.call(Call("GET", f"/v1/governance/sites/{quoted(site)}/description", {})))

    def get_summary(self, *, site: int | None = None) -> m.MappingSummary:
        """Counts of points, of mapped points and of those with a counterpart, and their confidence."""
        return cast('m.MappingSummary', self.call(Call("GET", "/v1/mappings/summary", {'site': site})))

    def get_usage(self, *, from_: str | None = None, to: str | None = None) -> m.UsageOut:
        """What the company used, day by day in UTC, the newest first: the last 31 days unless told."""
        return cast('m.UsageOut', self.call(Call("GET", "/v1/usage", {'from': from_, 'to': to})))

    def get_user(self, user: int) -> m.UserOut:
        """A member with its role."""
        return cast('m.UserOut', self.call(Call("GET", f"/v1/users/{quoted(user)}", {})))

    def get_webhook(self, webhook: int) -> m.WebhookOut:
        """One address, and how it does."""
        return cast('m.WebhookOut', self.call(Call("GET", f"/v1/webhooks/{quoted(webhook)}", {})))

    def get_why(self, site: int, template: str) -> m.WhyOut:
        """The evidence, the classes to choose from, points with their values, and what was decided."""
        return cast('m.WhyOut', self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/templates/{quoted(template)}", {})))

    def give_command(self, point: int, body: m.CommandIn, *, key: str | None = None) -> m.CommandOut:
        """Have a gateway write a point for a while; its own configuration says whether it does.

        The answer comes at once; what became of it is told by GET /v1/commands/{id}.
        """
        return cast('m.CommandOut', self.call(Call("POST", f"/v1/points/{quoted(point)}/commands", {}, key=key, body=body, kinds=('application/json',))))

    def import_models(self, body: Any, *, file: str | None = None, key: str | None = None) -> m.ThingmodelsImportOut:
        """Read models; one that is wrong costs no other. What differs becomes a further version."""
        return cast('m.ThingmodelsImportOut', self.call(Call("POST", "/v1/thing-models/import", {'file': file}, key=key, body=body, kinds=('application/json',))))

    def import_site(self, site: int, body: bytes, *, format_: Literal['haystack', 'haystack-v3', 'brick', 'enos', 'csv', 'spreadsheet'] | None = None, overwrite: bool | None = None, apply: str | None = None, key: str | None = None) -> m.ExchangeImportOut:
        """The body is the file. Without `apply` the plan is shown and nothing changes.

        Sent again with `apply` and the plan's name, exactly that is done; if the file or the site has
        changed meanwhile, nothing is. What is taken in counts as decided: the mapper leaves it alone.
        """
        return cast('m.ExchangeImportOut', self.call(Call("POST", f"/v1/sites/{quoted(site)}/import", {'format': format_, 'overwrite': overwrite, 'apply': apply}, key=key, body=body, kinds=('application/octet-stream',))))

    def issue_ticket(self, *, key: str | None = None) -> m.TicketOut:
        """A ticket opens one WebSocket within thirty seconds, and shows no key to anybody."""
        return cast('m.TicketOut', self.call(Call("POST", "/v1/live/tickets", {}, key=key)))

    def link_identity(self, body: m.LinkIn, *, key: str | None = None) -> m.LinkBegun:
        """Prove by password who I am, then log in there: from then on that log-in is mine."""
        return cast('m.LinkBegun', self.call(Call("POST", "/v1/me/identities", {}, key=key, body=body, kinds=('application/json',))))

    def list_accounts(self, *, limit: int | None = None, after: str | None = None) -> m.AccountPage:
        """Programs that get tokens by client id and secret, oldest first."""
        return cast('m.AccountPage', self.call(Call("GET", "/v1/service-accounts", {'limit': limit, 'after': after})))

    def all_accounts(self, *, limit: int | None = None) -> Iterator[m.IdentityAccountOut]:
        """Every item of `list_accounts`, page by page."""
        call = Call("GET", "/v1/service-accounts", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.IdentityAccountOut', item)

    def list_acts(self, *, actor: str | None = None, action: str | None = None, subject: str | None = None, request: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None, after: str | None = None) -> m.ActPage:
        """Everything that was done in the company, the newest first."""
        return cast('m.ActPage', self.call(Call("GET", "/v1/audit", {'actor': actor, 'action': action, 'subject': subject, 'request': request, 'from': from_, 'to': to, 'limit': limit, 'after': after})))

    def all_acts(self, *, actor: str | None = None, action: str | None = None, subject: str | None = None, request: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None) -> Iterator[m.ActOut]:
        """Every item of `list_acts`, page by page."""
        call = Call("GET", "/v1/audit", {'actor': actor, 'action': action, 'subject': subject, 'request': request, 'from': from_, 'to': to, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.ActOut', item)

    def list_alarm_history(self, alarm: int, *, limit: int | None = None, after: str | None = None) -> m.AlarmHistoryPage:
        """All that ever happened to it, the newest first."""
        return cast('m.AlarmHistoryPage', self.call(Call("GET", f"/v1/alarms/{quoted(alarm)}/history", {'limit': limit, 'after': after})))

    def all_alarm_history(self, alarm: int, *, limit: int | None = None) -> Iterator[m.AlarmEventOut]:
        """Every item of `list_alarm_history`, page by page."""
        call = Call("GET", f"/v1/alarms/{quoted(alarm)}/history", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.AlarmEventOut', item)

    def list_alarm_notices(self, receiver: int, *, state: Literal['waiting', 'sent', 'dropped', 'failed'] | None = None, limit: int | None = None, after: str | None = None) -> m.NoticePage:
        """What it was told and is to be told, the newest first; `failed` is what nobody took."""
        return cast('m.NoticePage', self.call(Call("GET", f"/v1/alarm-receivers/{quoted(receiver)}/notices", {'state': state, 'limit': limit, 'after': after})))

    def all_alarm_notices(self, receiver: int, *, state: Literal['waiting', 'sent', 'dropped', 'failed'] | None = None, limit: int | None = None) -> Iterator[m.AlarmsNoticeOut]:
        """Every item of `list_alarm_notices`, page by page."""
        call = Call("GET", f"/v1/alarm-receivers/{quoted(receiver)}/notices", {'state': state, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.AlarmsNoticeOut', item)

    def list_alarm_receivers(self, *, limit: int | None = None, after: str | None = None) -> m.ReceiverPage:
        """Mailboxes and webhooks, by number."""
        return cast('m.ReceiverPage', self.call(Call("GET", "/v1/alarm-receivers", {'limit': limit, 'after': after})))

    def all_alarm_receivers(self, *, limit: int | None = None) -> Iterator[m.ReceiverItem]:
        """Every item of `list_alarm_receivers`, page by page."""
        call = Call("GET", "/v1/alarm-receivers", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.ReceiverItem', item)

    def list_alarm_rules(self, *, site: int | None = None, limit: int | None = None, after: str | None = None) -> m.RulePage:
        """What is an alarm, by number."""
        return cast('m.RulePage', self.call(Call("GET", "/v1/alarm-rules", {'site': site, 'limit': limit, 'after': after})))

    def all_alarm_rules(self, *, site: int | None = None, limit: int | None = None) -> Iterator[m.RuleItem]:
        """Every item of `list_alarm_rules`, page by page."""
        call = Call("GET", "/v1/alarm-rules", {'site': site, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.RuleItem', item)

    def list_alarms(self, *, site: int | None = None, gateway: str | None = None, point: int | None = None, rule: int | None = None, state: Literal['normal', 'unacknowledged', 'acknowledged', 'returned', 'latched_unacknowledged', 'latched_acknowledged', 'shelved', 'suppressed', 'out_of_service'] | None = None, all: bool | None = None, priority: Literal['low', 'medium', 'high', 'critical'] | None = None, assignee: str | None = None, limit: int | None = None, after: str | None = None) -> m.AlarmPage:
        """Alarms that are not normal, the most urgent first and of those the newest."""
        return cast('m.AlarmPage', self.call(Call("GET", "/v1/alarms", {'site': site, 'gateway': gateway, 'point': point, 'rule': rule, 'state': state, 'all': all, 'priority': priority, 'assignee': assignee, 'limit': limit, 'after': after})))

    def all_alarms(self, *, site: int | None = None, gateway: str | None = None, point: int | None = None, rule: int | None = None, state: Literal['normal', 'unacknowledged', 'acknowledged', 'returned', 'latched_unacknowledged', 'latched_acknowledged', 'shelved', 'suppressed', 'out_of_service'] | None = None, all: bool | None = None, priority: Literal['low', 'medium', 'high', 'critical'] | None = None, assignee: str | None = None, limit: int | None = None) -> Iterator[m.AlarmItem]:
        """Every item of `list_alarms`, page by page."""
        call = Call("GET", "/v1/alarms", {'site': site, 'gateway': gateway, 'point': point, 'rule': rule, 'state': state, 'all': all, 'priority': priority, 'assignee': assignee, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.AlarmItem', item)

    def list_audit_keys(self) -> m.KeyList:
        """The public half, for whoever verifies: keep it when you get it first.

        The worker makes the key at its first start; the list is empty before, and where this process
        has not the data folder of the worker.
        """
        return cast('m.KeyList', self.call(Call("GET", "/v1/audit/keys", {})))

    def list_batteries(self, site: int) -> m.BatteryList:
        """Equipment of class Battery*, with the points that power, charge and energy are read from."""
        return cast('m.BatteryList', self.call(Call("GET", f"/v1/sites/{quoted(site)}/batteries", {})))

    def list_certificates(self, gateway: str) -> m.CertificatesOut:
        """What was issued to a gateway, what it uses, and what is revoked."""
        return cast('m.CertificatesOut', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/certificates", {})))

    def list_command_rules(self) -> m.CommandRuleList:
        """For which points a second person must confirm what is written."""
        return cast('m.CommandRuleList', self.call(Call("GET", "/v1/command-rules", {})))

    def list_company_exports(self, *, limit: int | None = None, after: str | None = None) -> m.ExportPage:
        """What was exported, the newest first."""
        return cast('m.ExportPage', self.call(Call("GET", "/v1/governance/exports", {'limit': limit, 'after': after})))

    def all_company_exports(self, *, limit: int | None = None) -> Iterator[m.ExportOut]:
        """Every item of `list_company_exports`, page by page."""
        call = Call("GET", "/v1/governance/exports", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.ExportOut', item)

    def list_configuration_assignments(self, gateway: str, *, limit: int | None = None, after: str | None = None) -> m.AssignmentPage:
        """What a gateway was to have, the newest first, and what became of it."""
        return cast('m.AssignmentPage', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/assignments", {'limit': limit, 'after': after})))

    def all_configuration_assignments(self, gateway: str, *, limit: int | None = None) -> Iterator[m.AssignmentOut]:
        """Every item of `list_configuration_assignments`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/assignments", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.AssignmentOut', item)

    def list_configuration_rollouts(self, *, limit: int | None = None, after: str | None = None) -> m.RolloutPage:
        """Rollouts of the company, the newest first."""
        return cast('m.RolloutPage', self.call(Call("GET", "/v1/configuration-rollouts", {'limit': limit, 'after': after})))

    def all_configuration_rollouts(self, *, limit: int | None = None) -> Iterator[m.RolloutOut]:
        """Every item of `list_configuration_rollouts`, page by page."""
        call = Call("GET", "/v1/configuration-rollouts", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.RolloutOut', item)

    def list_configuration_versions(self, gateway: str, *, limit: int | None = None, after: str | None = None) -> m.VersionPage:
        """Versions of a gateway's configuration, the newest first."""
        return cast('m.VersionPage', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/versions", {'limit': limit, 'after': after})))

    def all_configuration_versions(self, gateway: str, *, limit: int | None = None) -> Iterator[m.ConfigurationVersionOut]:
        """Every item of `list_configuration_versions`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/versions", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.ConfigurationVersionOut', item)

    def list_consumers(self, site: int, *, limit: int | None = None, after: str | None = None) -> m.ConsumerPage:
        """Named consumers of the site's replay by name, and how far each has come."""
        return cast('m.ConsumerPage', self.call(Call("GET", f"/v1/sites/{quoted(site)}/replays", {'limit': limit, 'after': after})))

    def all_consumers(self, site: int, *, limit: int | None = None) -> Iterator[m.ConsumerOut]:
        """Every item of `list_consumers`, page by page."""
        call = Call("GET", f"/v1/sites/{quoted(site)}/replays", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.ConsumerOut', item)

    def list_counters(self) -> m.Counters:
        """Counts of the whole company by name: refused messages, published values and the like."""
        return cast('m.Counters', self.call(Call("GET", "/v1/counters", {})))

    def list_deletions(self, *, limit: int | None = None, after: str | None = None) -> m.DeletionPage:
        """What was planned, goes, or has gone, the newest first."""
        return cast('m.DeletionPage', self.call(Call("GET", "/v1/governance/deletions", {'limit': limit, 'after': after})))

    def all_deletions(self, *, limit: int | None = None) -> Iterator[m.DeletionOut]:
        """Every item of `list_deletions`, page by page."""
        call = Call("GET", "/v1/governance/deletions", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.DeletionOut', item)

    def list_deliveries(self, webhook: int, *, state: Literal['waiting', 'delivered', 'dead'] | None = None, limit: int | None = None, after: str | None = None) -> m.DeliveryPage:
        """What was sent or is yet to be sent, newest first."""
        return cast('m.DeliveryPage', self.call(Call("GET", f"/v1/webhooks/{quoted(webhook)}/deliveries", {'state': state, 'limit': limit, 'after': after})))

    def all_deliveries(self, webhook: int, *, state: Literal['waiting', 'delivered', 'dead'] | None = None, limit: int | None = None) -> Iterator[m.DeliveryOut]:
        """Every item of `list_deliveries`, page by page."""
        call = Call("GET", f"/v1/webhooks/{quoted(webhook)}/deliveries", {'state': state, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.DeliveryOut', item)

    def list_devices(self, *, site: int | None = None, gateway: str | None = None, limit: int | None = None, after: str | None = None) -> m.DevicePage:
        """What the gateways talk to: BACnet devices and Modbus units, oldest first."""
        return cast('m.DevicePage', self.call(Call("GET", "/v1/devices", {'site': site, 'gateway': gateway, 'limit': limit, 'after': after})))

    def all_devices(self, *, site: int | None = None, gateway: str | None = None, limit: int | None = None) -> Iterator[m.DeviceOut]:
        """Every item of `list_devices`, page by page."""
        call = Call("GET", "/v1/devices", {'site': site, 'gateway': gateway, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.DeviceOut', item)

    def list_edge_acts(self, *, gateway: str | None = None, kind: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None, after: str | None = None) -> m.EdgeActPage:
        """The audit of the gateways, a stream of its own, the newest first by their clocks."""
        return cast('m.EdgeActPage', self.call(Call("GET", "/v1/audit/edge", {'gateway': gateway, 'kind': kind, 'from': from_, 'to': to, 'limit': limit, 'after': after})))

    def all_edge_acts(self, *, gateway: str | None = None, kind: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None) -> Iterator[m.EdgeActOut]:
        """Every item of `list_edge_acts`, page by page."""
        call = Call("GET", "/v1/audit/edge", {'gateway': gateway, 'kind': kind, 'from': from_, 'to': to, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.EdgeActOut', item)

    def list_edge_streams(self, *, gateway: str | None = None) -> m.EdgeStreamList:
        """Of every start of an agent: which order numbers came, were lost, or are missing."""
        return cast('m.EdgeStreamList', self.call(Call("GET", "/v1/audit/edge/streams", {'gateway': gateway})))

    def list_expected_gateways(self, *, limit: int | None = None, after: str | None = None) -> m.ExpectedPage:
        """The company's lists, by fingerprint."""
        return cast('m.ExpectedPage', self.call(Call("GET", "/v1/gateways/expected", {'limit': limit, 'after': after})))

    def all_expected_gateways(self, *, limit: int | None = None) -> Iterator[m.ExpectedOut]:
        """Every item of `list_expected_gateways`, page by page."""
        call = Call("GET", "/v1/gateways/expected", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.ExpectedOut', item)

    def list_features(self) -> m.FeatureList:
        """Features that can be switched for the company, and how they are."""
        return cast('m.FeatureList', self.call(Call("GET", "/v1/features", {})))

    def list_findings(self, *, site: int | None = None, from_: str | None = None, to: str | None = None, open: bool | None = None, limit: int | None = None, after: str | None = None) -> m.FindingsFindingPage:
        """What detectors found, the newest first; with `from` and `to` what went on between them."""
        return cast('m.FindingsFindingPage', self.call(Call("GET", "/v1/findings", {'site': site, 'from': from_, 'to': to, 'open': open, 'limit': limit, 'after': after})))

    def all_findings(self, *, site: int | None = None, from_: str | None = None, to: str | None = None, open: bool | None = None, limit: int | None = None) -> Iterator[m.FindingsFindingOut]:
        """Every item of `list_findings`, page by page."""
        call = Call("GET", "/v1/findings", {'site': site, 'from': from_, 'to': to, 'open': open, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.FindingsFindingOut', item)

    def list_gaps(self, gateway: str, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, cause: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None, after: str | None = None) -> m.GapPage:
        """Rows that the gateway declared lost, the newest record first.

        `from` and `to` ask when the rows were accepted; where that is not known, when we were told.
        """
        return cast('m.GapPage', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/gaps", {'stream': stream, 'cause': cause, 'from': from_, 'to': to, 'limit': limit, 'after': after})))

    def all_gaps(self, gateway: str, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, cause: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None) -> Iterator[m.GapOut]:
        """Every item of `list_gaps`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/gaps", {'stream': stream, 'cause': cause, 'from': from_, 'to': to, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.GapOut', item)

    def list_gateways(self, *, site: int | None = None, limit: int | None = None, after: str | None = None) -> m.GatewayPage:
        """The company's edge agents by id."""
        return cast('m.GatewayPage', self.call(Call("GET", "/v1/gateways", {'site': site, 'limit': limit, 'after': after})))

    def all_gateways(self, *, site: int | None = None, limit: int | None = None) -> Iterator[m.GatewayOut]:
        """Every item of `list_gateways`, page by page."""
        call = Call("GET", "/v1/gateways", {'site': site, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.GatewayOut', item)

    def list_governance_facts(self) -> m.FactList:
        """What expressions may name, by kind of subject."""
        return cast('m.FactList', self.call(Call("GET", "/v1/governance/facts", {})))

    def list_governance_findings(self, *, site: int | None = None, rule: str | None = None, severity: Literal['info', 'warning', 'error', 'blocker'] | None = None, state: Literal['open', 'waived', 'closed'] | None = None, limit: int | None = None, after: str | None = None) -> m.GovernanceFindingPage:
        """What rules found, oldest first; the same rule of the same thing is the same finding."""
        return cast('m.GovernanceFindingPage', self.call(Call("GET", "/v1/governance/findings", {'site': site, 'rule': rule, 'severity': severity, 'state': state, 'limit': limit, 'after': after})))

    def all_governance_findings(self, *, site: int | None = None, rule: str | None = None, severity: Literal['info', 'warning', 'error', 'blocker'] | None = None, state: Literal['open', 'waived', 'closed'] | None = None, limit: int | None = None) -> Iterator[m.GovernanceFindingOut]:
        """Every item of `list_governance_findings`, page by page."""
        call = Call("GET", "/v1/governance/findings", {'site': site, 'rule': rule, 'severity': severity, 'state': state, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.GovernanceFindingOut', item)

    def list_governance_rules(self) -> m.RuleList:
        """All rules as they are applied: the built-in ones, and the company's own."""
        return cast('m.RuleList', self.call(Call("GET", "/v1/governance/rules", {})))

    def list_governance_sites(self) -> m.ScoreList:
        """What the last check of each site came to."""
        return cast('m.ScoreList', self.call(Call("GET", "/v1/governance/sites", {})))

    def list_governance_waivers(self, *, site: int | None = None, open: bool | None = None, limit: int | None = None, after: str | None = None) -> m.WaiverPage:
        """What somebody puts up with, or did, oldest first."""
        return cast('m.WaiverPage', self.call(Call("GET", "/v1/governance/waivers", {'site': site, 'open': open, 'limit': limit, 'after': after})))

    def all_governance_waivers(self, *, site: int | None = None, open: bool | None = None, limit: int | None = None) -> Iterator[m.WaiverOut]:
        """Every item of `list_governance_waivers`, page by page."""
        call = Call("GET", "/v1/governance/waivers", {'site': site, 'open': open, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.WaiverOut', item)

    def list_heads(self, *, limit: int | None = None, after: str | None = None) -> m.HeadPage:
        """Ends of the chain that were signed, the newest first: keep them where nobody of us is."""
        return cast('m.HeadPage', self.call(Call("GET", "/v1/audit/heads", {'limit': limit, 'after': after})))

    def all_heads(self, *, limit: int | None = None) -> Iterator[m.HeadOut]:
        """Every item of `list_heads`, page by page."""
        call = Call("GET", "/v1/audit/heads", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.HeadOut', item)

    def list_identities(self) -> m.LinkList:
        """Identity providers whose log-in leads to my account, and all there are."""
        return cast('m.LinkList', self.call(Call("GET", "/v1/me/identities", {})))

    def list_invitations(self, *, ended: bool | None = None, limit: int | None = None, after: str | None = None) -> m.InvitationPage:
        """Who is invited, oldest first."""
        return cast('m.InvitationPage', self.call(Call("GET", "/v1/invitations", {'ended': ended, 'limit': limit, 'after': after})))

    def all_invitations(self, *, ended: bool | None = None, limit: int | None = None) -> Iterator[m.InvitationOut]:
        """Every item of `list_invitations`, page by page."""
        call = Call("GET", "/v1/invitations", {'ended': ended, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.InvitationOut', item)

    def list_job_buildings(self, job: str, *, limit: int | None = None, after: str | None = None) -> m.BuildingPage:
        """How far each building has come, and how sure it is."""
        return cast('m.BuildingPage', self.call(Call("GET", f"/v1/jobs/{quoted(job)}/buildings", {'limit': limit, 'after': after})))

    def all_job_buildings(self, job: str, *, limit: int | None = None) -> Iterator[m.BuildingOut]:
        """Every item of `list_job_buildings`, page by page."""
        call = Call("GET", f"/v1/jobs/{quoted(job)}/buildings", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.BuildingOut', item)

    def list_job_points(self, job: str, *, building: int | None = None, limit: int | None = None, after: str | None = None) -> m.JobPointPage:
        """Points in the order they came in, with what is found of them so far."""
        return cast('m.JobPointPage', self.call(Call("GET", f"/v1/jobs/{quoted(job)}/points", {'building': building, 'limit': limit, 'after': after})))

    def all_job_points(self, job: str, *, building: int | None = None, limit: int | None = None) -> Iterator[m.JobPointOut]:
        """Every item of `list_job_points`, page by page."""
        call = Call("GET", f"/v1/jobs/{quoted(job)}/points", {'building': building, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.JobPointOut', item)

    def list_jobs(self, *, state: Literal['open', 'done', 'failed', 'cancelled'] | None = None, limit: int | None = None, after: str | None = None) -> m.JobPage:
        """The company's jobs, the newest first."""
        return cast('m.JobPage', self.call(Call("GET", "/v1/jobs", {'state': state, 'limit': limit, 'after': after})))

    def all_jobs(self, *, state: Literal['open', 'done', 'failed', 'cancelled'] | None = None, limit: int | None = None) -> Iterator[m.JobShort]:
        """Every item of `list_jobs`, page by page."""
        call = Call("GET", "/v1/jobs", {'state': state, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.JobShort', item)

    def list_keys(self, *, ended: bool | None = None, limit: int | None = None, after: str | None = None) -> m.KeyPage:
        """The company's keys, oldest first; nothing can show a key itself again."""
        return cast('m.KeyPage', self.call(Call("GET", "/v1/api-keys", {'ended': ended, 'limit': limit, 'after': after})))

    def all_keys(self, *, ended: bool | None = None, limit: int | None = None) -> Iterator[m.IdentityKeyOut]:
        """Every item of `list_keys`, page by page."""
        call = Call("GET", "/v1/api-keys", {'ended': ended, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.IdentityKeyOut', item)

    def list_latest(self, *, point: Sequence[int] | None = None, site: int | None = None, limit: int | None = None, after: str | None = None) -> m.LatestPage:
        """The newest sample of each point that has one, by point id."""
        return cast('m.LatestPage', self.call(Call("GET", "/v1/latest", {'point': point, 'site': site, 'limit': limit, 'after': after})))

    def all_latest(self, *, point: Sequence[int] | None = None, site: int | None = None, limit: int | None = None) -> Iterator[m.LatestOut]:
        """Every item of `list_latest`, page by page."""
        call = Call("GET", "/v1/latest", {'point': point, 'site': site, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.LatestOut', item)

    def list_mappings(self, *, site: int | None = None, state: Literal['proposed', 'accepted', 'rejected'] | None = None, equip_class: str | None = None, min_confidence: float | None = None, limit: int | None = None, after: str | None = None) -> m.MappingPage:
        """What points were mapped to, with confidence and evidence, by point id."""
        return cast('m.MappingPage', self.call(Call("GET", "/v1/mappings", {'site': site, 'state': state, 'equip_class': equip_class, 'min_confidence': min_confidence, 'limit': limit, 'after': after})))

    def all_mappings(self, *, site: int | None = None, state: Literal['proposed', 'accepted', 'rejected'] | None = None, equip_class: str | None = None, min_confidence: float | None = None, limit: int | None = None) -> Iterator[m.MappingOut]:
        """Every item of `list_mappings`, page by page."""
        call = Call("GET", "/v1/mappings", {'site': site, 'state': state, 'equip_class': equip_class, 'min_confidence': min_confidence, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.MappingOut', item)

    def list_models(self) -> m.ModelList:
        """What points can be mapped to: the company's own models, and the built-in ones beside them."""
        return cast('m.ModelList', self.call(Call("GET", "/v1/thing-models", {})))

    def list_overrides(self, *, ended: bool | None = None) -> m.OverrideList:
        """What the company says in place of its mappings, by id."""
        return cast('m.OverrideList', self.call(Call("GET", "/v1/mapping-overrides", {'ended': ended})))

    def list_points(self, *, limit: int | None = None, after: str | None = None, q: str | None = None, site: int | None = None, gateway: str | None = None, device: int | None = None, equip_class: str | None = None, point_class: str | None = None, model: str | None = None) -> m.PointPage:
        """Every readable value with what it was mapped to, oldest first."""
        return cast('m.PointPage', self.call(Call("GET", "/v1/points", {'limit': limit, 'after': after, 'q': q, 'site': site, 'gateway': gateway, 'device': device, 'equip_class': equip_class, 'point_class': point_class, 'model': model})))

    def all_points(self, *, limit: int | None = None, q: str | None = None, site: int | None = None, gateway: str | None = None, device: int | None = None, equip_class: str | None = None, point_class: str | None = None, model: str | None = None) -> Iterator[m.PointOut]:
        """Every item of `list_points`, page by page."""
        call = Call("GET", "/v1/points", {'limit': limit, 'q': q, 'site': site, 'gateway': gateway, 'device': device, 'equip_class': equip_class, 'point_class': point_class, 'model': model})
        for item in self.pages(call):
            yield cast('m.PointOut', item)

    def list_quarantine(self, gateway: str, *, reason: str | None = None, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, state: Literal['held', 'released', 'discarded'] | None = None, limit: int | None = None, after: str | None = None) -> m.QuarantinePage:
        """Rows that could not be stored, the newest first; by default those nobody has decided about."""
        return cast('m.QuarantinePage', self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/quarantine", {'reason': reason, 'stream': stream, 'state': state, 'limit': limit, 'after': after})))

    def all_quarantine(self, gateway: str, *, reason: str | None = None, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, state: Literal['held', 'released', 'discarded'] | None = None, limit: int | None = None) -> Iterator[m.QuarantinedOut]:
        """Every item of `list_quarantine`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/quarantine", {'reason': reason, 'stream': stream, 'state': state, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.QuarantinedOut', item)

    def list_roles(self) -> m.RoleList:
        """The roles there are, and the permissions that each holds."""
        return cast('m.RoleList', self.call(Call("GET", "/v1/roles", {})))

    def list_samples(self, point: int, *, from_: str | None = None, to: str | None = None, interval: str | None = None, agg: str | None = None, limit: int | None = None, after: str | None = None) -> m.SamplePage | m.BucketList:
        """Without `interval` single samples in pages, of at most 31 days; without `from` the last day.

        With `interval` at most 10,000 intervals, aligned to multiples of it since 1970-01-01 UTC; the
        first and last hold only what lies within from..to. Only good samples make the aggregates.
        """
        return cast('m.SamplePage | m.BucketList', self.call(Call("GET", f"/v1/points/{quoted(point)}/samples", {'from': from_, 'to': to, 'interval': interval, 'agg': agg, 'limit': limit, 'after': after})))

    def all_samples(self, point: int, *, from_: str | None = None, to: str | None = None, interval: str | None = None, agg: str | None = None, limit: int | None = None) -> Iterator[m.SamplesSampleOut]:
        """Every item of `list_samples`, page by page."""
        call = Call("GET", f"/v1/points/{quoted(point)}/samples", {'from': from_, 'to': to, 'interval': interval, 'agg': agg, 'limit': limit})
        for item in self.pages(call):
            yield cast('m.SamplesSampleOut', item)

    def list_sessions(self) -> m.SessionList:
        """Where I am logged in for this company, the newest first."""
        return cast('m.SessionList', self.call(Call("GET", "/v1/me/sessions", {})))

    def list_sites(self, *, limit: int | None = None, after: str | None = None) -> m.SitePage:
        """The company's buildings and plants, oldest first."""
        return cast('m.SitePage', self.call(Call("GET", "/v1/sites", {'limit': limit, 'after': after})))

    def all_sites(self, *, limit: int | None = None) -> Iterator[m.SitesSiteOut]:
        """Every item of `list_sites`, page by page."""
        call = Call("GET", "/v1/sites", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.SitesSiteOut', item)

    def list_user_sessions(self, user: int) -> m.SessionList:
        """Where a member is logged in for this company, the newest first."""
        return cast('m.SessionList', self.call(Call("GET", f"/v1/users/{quoted(user)}/sessions", {})))

    def list_users(self, *, limit: int | None = None, after: str | None = None) -> m.UserPage:
        """Who may act for the company, oldest members first."""
        return cast('m.UserPage', self.call(Call("GET", "/v1/users", {'limit': limit, 'after': after})))

    def all_users(self, *, limit: int | None = None) -> Iterator[m.UserOut]:
        """Every item of `list_users`, page by page."""
        call = Call("GET", "/v1/users", {'limit': limit})
        for item in self.pages(call):
            yield cast('m.UserOut', item)

    def list_webhooks(self) -> m.WebhookList:
        """All addresses that are told what happens, by id."""
        return cast('m.WebhookList', self.call(Call("GET", "/v1/webhooks", {})))

    def log_out(self, *, key: str | None = None) -> m.IdentityDoneOut:
        """End the session that this token belongs to."""
        return cast('m.IdentityDoneOut', self.call(Call("POST", "/v1/me/logout", {}, key=key)))

    def look_at_device(self, body: m.LookIn, *, key: str | None = None) -> m.SeenOut:
        """What a device that waits says of itself: compare the fingerprint before you claim it."""
        return cast('m.SeenOut', self.call(Call("POST", "/v1/gateways/claim/look", {}, key=key, body=body, kinds=('application/json',))))

    def plan_deletion(self, body: m.DeletionIn, *, key: str | None = None) -> m.DeletionOut:
        """Count what of a site, a person or the company would go; nothing does before it is confirmed."""
        return cast('m.DeletionOut', self.call(Call("POST", "/v1/governance/deletions", {}, key=key, body=body, kinds=('application/json',))))

    def post_answers(self, site: int, body: m.AnswersIn, *, key: str | None = None) -> m.ReviewDoneOut:
        """Accept, correct, reject or put off, many at once; rules that follow are applied with it.

        All answers are taken or none. Sent again under the same name, a request is answered again and
        nothing happens.
        """
        return cast('m.ReviewDoneOut', self.call(Call("POST", f"/v1/sites/{quoted(site)}/review/answers", {}, key=key, body=body, kinds=('application/json',))))

    def post_undo(self, site: int, body: m.UndoIn, *, key: str | None = None) -> m.ReviewDoneOut:
        """Take the last request back, or the one that is named; the history keeps both."""
        return cast('m.ReviewDoneOut', self.call(Call("POST", f"/v1/sites/{quoted(site)}/review/undo", {}, key=key, body=body, kinds=('application/json',))))

    def put_rules(self, site: int, body: m.RulesIn, *, if_match: str | None = None, key: str | None = None) -> m.ReviewDoneOut:
        """Take all rules as they are sent, and apply them; a learned rule left out is not learned again.

        `If-Match` is the ETag of the rules that were read: if they have changed since, nothing is done.
        """
        return cast('m.ReviewDoneOut', self.call(Call("PUT", f"/v1/sites/{quoted(site)}/review/rules", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def put_site_description(self, site: int, body: m.SiteIn, *, if_match: str | None = None, key: str | None = None) -> m.GovernanceSiteOut:
        """Say where a site is, and by which patterns its points are named."""
        return cast('m.GovernanceSiteOut', self.call(Call("PUT", f"/v1/governance/sites/{quoted(site)}/description", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def release(self, gateway: str, row: int, body: m.Release | None = None, *, key: str | None = None) -> m.DecisionOut:
        """Run it through the ingest again, corrected where that is asked for; stored exactly once.

        The account moves from quarantined to stored in the same transaction. Asked again, the answer is
        the same and nothing happens.
        """
        return cast('m.DecisionOut', self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/quarantine/{quoted(row)}/release", {}, key=key, body=body, kinds=('application/json',))))

    def release_gateway(self, gateway: str, *, key: str | None = None) -> m.CertificatesOut:
        """Let a device go to another site or company: it is revoked, and may be claimed once reset."""
        return cast('m.CertificatesOut', self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/release", {}, key=key)))

    def remove_alarm(self, alarm: int, body: m.AlarmReasonIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Keep it from everybody until somebody brings it back: for maintenance."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/remove", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def remove_command_rule(self, rule: int, *, key: str | None = None) -> m.CommandRuleOut:
        """Remove a rule; commands that wait for a second person go on waiting."""
        return cast('m.CommandRuleOut', self.call(Call("DELETE", f"/v1/command-rules/{quoted(rule)}", {}, key=key)))

    def remove_user(self, user: int, *, key: str | None = None) -> m.UserOut:
        """End a membership and its sessions; what the user is elsewhere stays."""
        return cast('m.UserOut', self.call(Call("DELETE", f"/v1/users/{quoted(user)}", {}, key=key)))

    def renew_secret(self, webhook: int, *, key: str | None = None) -> m.WebhookMade:
        """Make a new secret, shown this once. For a day messages are signed with the old one as well."""
        return cast('m.WebhookMade', self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/secret", {}, key=key)))

    def replace_secret(self, account: int, *, key: str | None = None) -> m.AccountMade:
        """Another secret; the old one and all tokens it has got open nothing any more."""
        return cast('m.AccountMade', self.call(Call("POST", f"/v1/service-accounts/{quoted(account)}/secret", {}, key=key)))

    def replay_deliveries(self, webhook: int, body: m.ReplayIn, *, key: str | None = None) -> m.ReplayOut:
        """Send what was given up (or delivered) again, under its ids: receivers know repetitions."""
        return cast('m.ReplayOut', self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/replay", {}, key=key, body=body, kinds=('application/json',))))

    def replay_delivery(self, webhook: int, delivery: int, *, key: str | None = None) -> m.ReplayOut:
        """Send one message again, whatever became of it."""
        return cast('m.ReplayOut', self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/deliveries/{quoted(delivery)}/replay", {}, key=key)))

    def reset_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """End a latched alarm whose condition has gone and which is acknowledged."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/reset", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def reset_feature(self, feature: str, *, if_match: str | None = None, key: str | None = None) -> m.FeatureOut:
        """Switch a feature to what it is for everybody."""
        return cast('m.FeatureOut', self.call(Call("DELETE", f"/v1/features/{quoted(feature)}", {}, if_match=if_match, key=key)))

    def restore_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Bring it back as what its condition says."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/restore", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def resume_configuration_rollout(self, rollout: str, body: m.ResumeIn, *, key: str | None = None) -> m.RolloutDetail:
        """Go on with a rollout that has halted."""
        return cast('m.RolloutDetail', self.call(Call("POST", f"/v1/configuration-rollouts/{quoted(rollout)}/resume", {}, key=key, body=body, kinds=('application/json',))))

    def resume_job(self, job: str, *, key: str | None = None) -> m.JobOut:
        """Take up one that was cancelled or has failed; what is done is not done again."""
        return cast('m.JobOut', self.call(Call("POST", f"/v1/jobs/{quoted(job)}/resume", {}, key=key)))

    def retry_alarm_notices(self, receiver: int, *, key: str | None = None) -> m.TriedAgain:
        """Have what has failed told after all."""
        return cast('m.TriedAgain', self.call(Call("POST", f"/v1/alarm-receivers/{quoted(receiver)}/retry", {}, key=key)))

    def revoke_gateway(self, gateway: str, body: m.RevokeIn, *, key: str | None = None) -> m.CertificatesOut:
        """End a gateway's identity for good: within a minute no broker and no route takes it.

        Its history stays. To release a device, so that another company may claim it, is the same: the
        device gets a new identity when it is reset.
        """
        return cast('m.CertificatesOut', self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/revoke", {}, key=key, body=body, kinds=('application/json',))))

    def revoke_invitation(self, invitation: int, *, key: str | None = None) -> m.InvitationOut:
        """Its token is good for nothing any more."""
        return cast('m.InvitationOut', self.call(Call("DELETE", f"/v1/invitations/{quoted(invitation)}", {}, key=key)))

    def revoke_key(self, key_id: int, *, key: str | None = None) -> m.IdentityKeyOut:
        """It opens nothing any more: here at once, in other processes within seconds."""
        return cast('m.IdentityKeyOut', self.call(Call("DELETE", f"/v1/api-keys/{quoted(key_id)}", {}, key=key)))

    def roll_out_configuration(self, body: m.RolloutIn, *, key: str | None = None) -> m.RolloutDetail:
        """Stage a change for several gateways, wave by wave; it halts where too many fail."""
        return cast('m.RolloutDetail', self.call(Call("POST", "/v1/configuration-rollouts", {}, key=key, body=body, kinds=('application/json',))))

    def rotate_key(self, key_id: int, body: m.RotateIn, *, key: str | None = None) -> m.KeyMade:
        """Another key that may the same; the old one opens for some hours more."""
        return cast('m.KeyMade', self.call(Call("POST", f"/v1/api-keys/{quoted(key_id)}/rotate", {}, key=key, body=body, kinds=('application/json',))))

    def shelve_alarm(self, alarm: int, body: m.ShelveIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Put it away for a time that its rule allows; it comes back by itself."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/shelve", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def stage_configuration(self, gateway: str, body: m.AssignmentIn, *, key: str | None = None) -> m.AssignmentDetail:
        """Have a gateway get a version; it checks it, tries it, and says what became of it.

        What was staged for it before and is not in force yet is superseded. To go back, stage a former
        version.
        """
        return cast('m.AssignmentDetail', self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/configuration/assignments", {}, key=key, body=body, kinds=('application/json',))))

    def start_job(self, body: m.JobIn | bytes, *, name: str | None = None, llm: bool | None = None, key: str | None = None) -> m.JobOut:
        """Map the points of sites (JSON), or of a list of at most 32 MiB (CSV with `point_name`).

        Or those that EnOS Edges find (JSON with `edges`): they ask the devices of a building.

        The answer comes at once; GET /v1/jobs/{job} tells how far it has come, and its rows can be
        read meanwhile.
        """
        return cast('m.JobOut', self.call(Call("POST", "/v1/jobs", {'name': name, 'llm': llm}, key=key, body=body, kinds=('application/json', 'text/csv'))))

    def switch_feature(self, feature: str, body: m.FeatureIn, *, if_match: str | None = None, key: str | None = None) -> m.FeatureOut:
        """Switch a feature on or off for the company; it holds from the next act on."""
        return cast('m.FeatureOut', self.call(Call("PUT", f"/v1/features/{quoted(feature)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    def try_governance_rule(self, site: int, body: m.RuleIn, *, key: str | None = None) -> m.TryOut:
        """What a rule would find at a site; nothing is entered."""
        return cast('m.TryOut', self.call(Call("POST", f"/v1/governance/sites/{quoted(site)}/try", {}, key=key, body=body, kinds=('application/json',))))

    def try_webhook(self, webhook: int, *, key: str | None = None) -> m.ReplayOut:
        """Send a message of the kind `webhook.test`; its fate is among the deliveries."""
        return cast('m.ReplayOut', self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/test", {}, key=key)))

    def unlink_identity(self, identity: int, *, key: str | None = None) -> m.IdentityDoneOut:
        """It leads to my account no more; sessions that it began go on until they are ended."""
        return cast('m.IdentityDoneOut', self.call(Call("DELETE", f"/v1/me/identities/{quoted(identity)}", {}, key=key)))

    def unshelve_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Bring it back now."""
        return cast('m.AlarmItem', self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/unshelve", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))


class AsyncPlantroom(AsyncTransport):
    """The API for asyncio."""

    async def acknowledge_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Say that somebody has seen it."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/acknowledge", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def acknowledge_alarms(self, body: m.AcknowledgeIn, *, key: str | None = None) -> m.AcknowledgedList:
        """Acknowledge what can be, and say of each what became of it."""
        return cast('m.AcknowledgedList', await self.call(Call("POST", "/v1/alarms/acknowledge", {}, key=key, body=body, kinds=('application/json',))))

    async def add_account(self, body: m.AccountIn, *, key: str | None = None) -> m.AccountMade:
        """It may what you say, and no more than you may; its secret is shown only now."""
        return cast('m.AccountMade', await self.call(Call("POST", "/v1/service-accounts", {}, key=key, body=body, kinds=('application/json',))))

    async def add_alarm_note(self, alarm: int, body: m.AlarmTextIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Add words to its history."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/notes", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def add_alarm_receiver(self, body: m.MailReceiver | m.HookReceiver, *, key: str | None = None) -> m.ReceiverItem:
        """Have somebody told. The secret of a webhook is shown now and never again."""
        return cast('m.ReceiverItem', await self.call(Call("POST", "/v1/alarm-receivers", {}, key=key, body=body, kinds=('application/json',))))

    async def add_alarm_rule(self, body: m.AlarmRuleIn, *, key: str | None = None) -> m.RuleItem:
        """Say what is an alarm. Evaluation begins with the newest samples."""
        return cast('m.RuleItem', await self.call(Call("POST", "/v1/alarm-rules", {}, key=key, body=body, kinds=('application/json',))))

    async def add_command_rule(self, body: m.CommandRuleIn, *, key: str | None = None) -> m.CommandRuleOut:
        """Want a second person for points of the company, or for all of them, from now on."""
        return cast('m.CommandRuleOut', await self.call(Call("POST", "/v1/command-rules", {}, key=key, body=body, kinds=('application/json',))))

    async def add_configuration_version(self, gateway: str, body: m.VersionIn, *, key: str | None = None) -> m.ConfigurationVersionOut:
        """Keep a version; no gateway is told of it until it is staged."""
        return cast('m.ConfigurationVersionOut', await self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/configuration/versions", {}, key=key, body=body, kinds=('application/json',))))

    async def add_enrolment_token(self, body: m.EnrolmentTokenIn, *, key: str | None = None) -> m.EnrolmentTokenOut:
        """A token for one device at one site, good once and for at most 72 hours; shown only now."""
        return cast('m.EnrolmentTokenOut', await self.call(Call("POST", "/v1/gateways/enrolment-tokens", {}, key=key, body=body, kinds=('application/json',))))

    async def add_governance_rule(self, body: m.RuleIn, *, key: str | None = None) -> m.GovernanceRuleOut:
        """Make a rule of the company's own; every site is checked by it soon."""
        return cast('m.GovernanceRuleOut', await self.call(Call("POST", "/v1/governance/rules", {}, key=key, body=body, kinds=('application/json',))))

    async def add_governance_waiver(self, site: int, body: m.WaiverIn, *, key: str | None = None) -> m.WaiverOut:
        """Put up with what a rule finds, for some days and for a reason; then it counts again."""
        return cast('m.WaiverOut', await self.call(Call("POST", f"/v1/governance/sites/{quoted(site)}/waivers", {}, key=key, body=body, kinds=('application/json',))))

    async def add_invitation(self, body: m.InvitationIn, *, key: str | None = None) -> m.InvitationMade:
        """Nothing is sent: give the token to whom you invite; it is accepted at /oauth/token."""
        return cast('m.InvitationMade', await self.call(Call("POST", "/v1/invitations", {}, key=key, body=body, kinds=('application/json',))))

    async def add_key(self, body: m.KeyIn, *, key: str | None = None) -> m.KeyMade:
        """A key that may what you say, and no more than you may; it is shown only now."""
        return cast('m.KeyMade', await self.call(Call("POST", "/v1/api-keys", {}, key=key, body=body, kinds=('application/json',))))

    async def add_override(self, body: m.OverrideIn, *, key: str | None = None) -> m.OverrideOut:
        """Publish another model, point, unit, sign or multiplier; it ends the one about the same."""
        return cast('m.OverrideOut', await self.call(Call("POST", "/v1/mapping-overrides", {}, key=key, body=body, kinds=('application/json',))))

    async def add_webhook(self, body: m.WebhookIn, *, key: str | None = None) -> m.WebhookMade:
        """Tell an https address what happens. The secret in the answer is shown this once."""
        return cast('m.WebhookMade', await self.call(Call("POST", "/v1/webhooks", {}, key=key, body=body, kinds=('application/json',))))

    async def apply_plan(self, site: int, body: m.ApplyIn, *, key: str | None = None) -> m.PlanOut:
        """Have the worker do the steps that were shown; doing it again does nothing twice.

        The answer comes at once; `result` of the plan tells what became of each step.
        """
        return cast('m.PlanOut', await self.call(Call("POST", f"/v1/sites/{quoted(site)}/publishing/apply", {}, key=key, body=body, kinds=('application/json',))))

    async def ask_for_company_export(self, *, key: str | None = None) -> m.ExportOut:
        """Have the worker write all that the company owns, as of one moment; secrets are left out."""
        return cast('m.ExportOut', await self.call(Call("POST", "/v1/governance/exports", {}, key=key)))

    async def ask_for_plan(self, site: int, *, key: str | None = None) -> m.PlanOut:
        """Have the worker compare what should be published with what is there; nothing is changed."""
        return cast('m.PlanOut', await self.call(Call("POST", f"/v1/sites/{quoted(site)}/publishing/plan", {}, key=key)))

    async def assign_alarm(self, alarm: int, body: m.AssignIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Say who looks after it."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/assign", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def cancel_configuration_assignment(self, assignment: str, *, key: str | None = None) -> m.AssignmentDetail:
        """Have a gateway not get what has not reached it; 409 where it is tried, or has ended."""
        return cast('m.AssignmentDetail', await self.call(Call("POST", f"/v1/configuration-assignments/{quoted(assignment)}/cancel", {}, key=key)))

    async def cancel_configuration_rollout(self, rollout: str, *, key: str | None = None) -> m.RolloutDetail:
        """Let no more gateways get it; those that have it keep it."""
        return cast('m.RolloutDetail', await self.call(Call("POST", f"/v1/configuration-rollouts/{quoted(rollout)}/cancel", {}, key=key)))

    async def cancel_deletion(self, deletion: str, *, key: str | None = None) -> m.DeletionOut:
        """Take a plan back that nobody has confirmed."""
        return cast('m.DeletionOut', await self.call(Call("DELETE", f"/v1/governance/deletions/{quoted(deletion)}", {}, key=key)))

    async def cancel_job(self, job: str, *, key: str | None = None) -> m.JobOut:
        """End it; what it has found so far stays to be read, and what it has published stays."""
        return cast('m.JobOut', await self.call(Call("POST", f"/v1/jobs/{quoted(job)}/cancel", {}, key=key)))

    async def change_account(self, account: int, body: m.AccountChange, *, if_match: str | None = None, key: str | None = None) -> m.IdentityAccountOut:
        """Another name, other scopes or sites, or whether it is let in; effective within seconds."""
        return cast('m.IdentityAccountOut', await self.call(Call("PATCH", f"/v1/service-accounts/{quoted(account)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def change_alarm_receiver(self, receiver: int, body: m.MailReceiver | m.HookReceiver, *, if_match: str | None = None, key: str | None = None) -> m.ReceiverItem:
        """Replace what a receiver wants; what waits for it is tried at once."""
        return cast('m.ReceiverItem', await self.call(Call("PUT", f"/v1/alarm-receivers/{quoted(receiver)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def change_alarm_rule(self, rule: int, body: m.AlarmRuleIn, *, if_match: str | None = None, key: str | None = None) -> m.RuleItem:
        """Replace what a rule says; what is on and still beyond its limit calls nobody again."""
        return cast('m.RuleItem', await self.call(Call("PUT", f"/v1/alarm-rules/{quoted(rule)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def change_governance_rule(self, rule: str, body: m.RuleChange, *, if_match: str | None = None, key: str | None = None) -> m.GovernanceRuleOut:
        """Say anew what a rule of the company's own is, or set a built-in one: on, severity, numbers."""
        return cast('m.GovernanceRuleOut', await self.call(Call("PUT", f"/v1/governance/rules/{quoted(rule)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def change_key(self, key_id: int, body: m.KeyChange, *, if_match: str | None = None, key: str | None = None) -> m.IdentityKeyOut:
        """Another name, other scopes or sites; effective within seconds."""
        return cast('m.IdentityKeyOut', await self.call(Call("PATCH", f"/v1/api-keys/{quoted(key_id)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def change_me(self, body: m.MeIn, *, key: str | None = None) -> m.IdentityDoneOut:
        """What others read beside the address; a program has its name from its administrator."""
        return cast('m.IdentityDoneOut', await self.call(Call("PATCH", "/v1/me", {}, key=key, body=body, kinds=('application/json',))))

    async def change_password(self, body: m.PasswordIn, *, key: str | None = None) -> m.IdentityDoneOut:
        """Every session of mine ends, this one too; log in with the new password."""
        return cast('m.IdentityDoneOut', await self.call(Call("POST", "/v1/me/password", {}, key=key, body=body, kinds=('application/json',))))

    async def change_user(self, user: int, body: m.UserIn, *, if_match: str | None = None, key: str | None = None) -> m.UserOut:
        """Another role, other sites, or whether it is let in; effective within seconds."""
        return cast('m.UserOut', await self.call(Call("PATCH", f"/v1/users/{quoted(user)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def change_webhook(self, webhook: int, body: m.WebhookChange, *, if_match: str | None = None, key: str | None = None) -> m.WebhookOut:
        """Change what is given; what is left out stays."""
        return cast('m.WebhookOut', await self.call(Call("PATCH", f"/v1/webhooks/{quoted(webhook)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def check_governance(self, *, key: str | None = None) -> m.LaterOut:
        """Have the worker check every site; `checked` of `GET /v1/governance/sites` says when it has."""
        return cast('m.LaterOut', await self.call(Call("POST", "/v1/governance/check", {}, key=key)))

    async def check_governance_site(self, site: int, *, key: str | None = None) -> m.CheckedOut:
        """Apply all rules to a site now, and say what is new, what still is and what is closed."""
        return cast('m.CheckedOut', await self.call(Call("POST", f"/v1/governance/sites/{quoted(site)}/check", {}, key=key)))

    async def check_site(self, site: int, *, target: Literal['enos', 'brick', 'haystack'] | None = None) -> m.SchemaCheckOut:
        """What does not fit: points missing or claimed twice, types, units, models there are not."""
        return cast('m.SchemaCheckOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/schema-check", {'target': target})))

    async def claim_gateway(self, body: m.ClaimIn, *, key: str | None = None) -> m.ClaimedOut:
        """Make the device that shows this code and this fingerprint a gateway of one of your sites.

        It succeeds once. Five wrong tries lock the code, twenty within an hour lock you out.
        """
        return cast('m.ClaimedOut', await self.call(Call("POST", "/v1/gateways/claim", {}, key=key, body=body, kinds=('application/json',))))

    async def confirm_command(self, command: str, *, key: str | None = None) -> m.CommandOut:
        """Let a command go that waits for a second person: anybody who may write but whoever gave it."""
        return cast('m.CommandOut', await self.call(Call("POST", f"/v1/commands/{quoted(command)}/confirm", {}, key=key)))

    async def confirm_deletion(self, deletion: str, body: m.ConfirmIn, *, key: str | None = None) -> m.DeletionOut:
        """Have the worker delete what was planned. Nothing brings it back.

        A company is closed at once: its keys, accounts and members get in no more, this one too; whoever
        runs the service has the certificate then.
        """
        return cast('m.DeletionOut', await self.call(Call("POST", f"/v1/governance/deletions/{quoted(deletion)}/confirm", {}, key=key, body=body, kinds=('application/json',))))

    async def delete_account(self, account: int, *, key: str | None = None) -> m.IdentityAccountOut:
        """It and its tokens open nothing any more."""
        return cast('m.IdentityAccountOut', await self.call(Call("DELETE", f"/v1/service-accounts/{quoted(account)}", {}, key=key)))

    async def delete_alarm_receiver(self, receiver: int, *, if_match: str | None = None, key: str | None = None) -> m.ReceiverItem:
        """Tell it no more; what waits for it is dropped."""
        return cast('m.ReceiverItem', await self.call(Call("DELETE", f"/v1/alarm-receivers/{quoted(receiver)}", {}, if_match=if_match, key=key)))

    async def delete_alarm_rule(self, rule: int, *, if_match: str | None = None, key: str | None = None) -> m.RuleItem:
        """End its alarms; their history stays."""
        return cast('m.RuleItem', await self.call(Call("DELETE", f"/v1/alarm-rules/{quoted(rule)}", {}, if_match=if_match, key=key)))

    async def delete_consumer(self, consumer: str, *, key: str | None = None) -> m.ConsumerGone:
        """Its position is gone: the next replay of that name begins anew; a running one ends."""
        return cast('m.ConsumerGone', await self.call(Call("DELETE", f"/v1/replays/{quoted(consumer)}", {}, key=key)))

    async def delete_model(self, model: str, *, if_match: str | None = None, key: str | None = None) -> m.DeletedOut:
        """Let one of the company's own models hold no more; its versions stay to be seen."""
        return cast('m.DeletedOut', await self.call(Call("DELETE", f"/v1/thing-models/{quoted(model)}", {}, if_match=if_match, key=key)))

    async def delete_override(self, override: int, *, key: str | None = None) -> m.DeletedOut:
        """Let an override hold no more; it stays to be seen with `ended`."""
        return cast('m.DeletedOut', await self.call(Call("DELETE", f"/v1/mapping-overrides/{quoted(override)}", {}, key=key)))

    async def delete_webhook(self, webhook: int, *, key: str | None = None) -> m.WebhookDeleted:
        """Tell an address nothing more; what was to be sent to it is gone, too."""
        return cast('m.WebhookDeleted', await self.call(Call("DELETE", f"/v1/webhooks/{quoted(webhook)}", {}, key=key)))

    async def diff_configurations(self, gateway: str, *, old: str | None = None, new: str | None = None) -> m.ConfigurationDiffOut:
        """What lies between two configurations of a gateway, in words of the field.

        Where nothing else is asked: between what it runs and its newest version.
        """
        return cast('m.ConfigurationDiffOut', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/diff", {'old': old, 'new': new})))

    async def discard(self, gateway: str, row: int, body: m.Discard, *, key: str | None = None) -> m.DecisionOut:
        """Decide that it will never be stored, and why; it stays to be seen and counted."""
        return cast('m.DecisionOut', await self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/quarantine/{quoted(row)}/discard", {}, key=key, body=body, kinds=('application/json',))))

    async def drop_governance_rule(self, rule: str, *, if_match: str | None = None, key: str | None = None) -> m.DroppedOut:
        """Delete a rule of the company's own, or let a built-in one be as it comes."""
        return cast('m.DroppedOut', await self.call(Call("DELETE", f"/v1/governance/rules/{quoted(rule)}", {}, if_match=if_match, key=key)))

    async def end_governance_waiver(self, waiver: int, *, if_match: str | None = None, key: str | None = None) -> m.WaiverOut:
        """Let what was waived count again; the waiver stays to be seen."""
        return cast('m.WaiverOut', await self.call(Call("DELETE", f"/v1/governance/waivers/{quoted(waiver)}", {}, if_match=if_match, key=key)))

    async def end_session(self, session_id: int, *, key: str | None = None) -> m.SessionOut:
        """Its tokens open nothing any more: here at once, in other processes within seconds."""
        return cast('m.SessionOut', await self.call(Call("DELETE", f"/v1/me/sessions/{quoted(session_id)}", {}, key=key)))

    async def end_sessions(self, user: int, *, key: str | None = None) -> m.EndedOut:
        """End all sessions of a member: effective within seconds."""
        return cast('m.EndedOut', await self.call(Call("DELETE", f"/v1/users/{quoted(user)}/sessions", {}, key=key)))

    async def expect_gateways(self, body: m.ListIn, *, key: str | None = None) -> m.ListOut:
        """A list of devices that become gateways of a site when they begin, with nobody before them.

        A fingerprint that another list has is refused: the first one counts.
        """
        return cast('m.ListOut', await self.call(Call("POST", "/v1/gateways/expected", {}, key=key, body=body, kinds=('application/json',))))

    async def export_chain(self, *, since: int | None = None) -> bytes:
        """All rows as they were hashed, and the signed heads, a line of JSON each.

        docs/audit.md has the ten lines of code that verify it.
        """
        return await self.fetch(Call("GET", "/v1/audit/export", {'since': since}))

    async def export_site(self, site: int, *, format_: Literal['haystack', 'haystack-v3', 'brick', 'enos', 'csv', 'spreadsheet'] | None = None, accepted: bool | None = None) -> bytes:
        """Points with equipment, classes, relations and thing-model points, of one moment.

        Every format holds all of it: what is exported can be imported again as it was.
        """
        return await self.fetch(Call("GET", f"/v1/sites/{quoted(site)}/export", {'format': format_, 'accepted': accepted}))

    async def get_account(self, gateway: str, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None) -> m.GatewaysAccountOut:
        """Where every row is that the gateway ever accepted: stored, refused, lost or still there.

        One consistent snapshot: accepted = stored + quarantined + gaps + on_edge holds at any moment.
        """
        return cast('m.GatewaysAccountOut', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/account", {'stream': stream})))

    async def get_alarm(self, alarm: int) -> m.AlarmItem:
        """An alarm as it stands."""
        return cast('m.AlarmItem', await self.call(Call("GET", f"/v1/alarms/{quoted(alarm)}", {})))

    async def get_alarm_figures(self, *, site: int | None = None, from_: str | None = None, to: str | None = None, operators: int | None = None) -> m.AlarmFigures:
        """Calls per operator and ten minutes, floods, the ten worst, chattering, standing and stale.

        Without `from` of the last day; at most 31 days.
        """
        return cast('m.AlarmFigures', await self.call(Call("GET", "/v1/alarms/figures", {'site': site, 'from': from_, 'to': to, 'operators': operators})))

    async def get_alarm_receiver(self, receiver: int) -> m.ReceiverItem:
        """A receiver, and how it takes its messages."""
        return cast('m.ReceiverItem', await self.call(Call("GET", f"/v1/alarm-receivers/{quoted(receiver)}", {})))

    async def get_alarm_rule(self, rule: int) -> m.RuleItem:
        """A rule as it holds."""
        return cast('m.RuleItem', await self.call(Call("GET", f"/v1/alarm-rules/{quoted(rule)}", {})))

    async def get_command(self, command: str) -> m.CommandOut:
        """A command with all that has happened to it."""
        return cast('m.CommandOut', await self.call(Call("GET", f"/v1/commands/{quoted(command)}", {})))

    async def get_company_export(self, export: str) -> m.ExportOut:
        """How far an export is, and its files with their SHA-256: the manifest."""
        return cast('m.ExportOut', await self.call(Call("GET", f"/v1/governance/exports/{quoted(export)}", {})))

    async def get_company_export_file(self, export: str, file: str) -> bytes:
        """The rows of one table, a line of JSON each; the SHA-256 of the manifest is of these bytes."""
        return await self.fetch(Call("GET", f"/v1/governance/exports/{quoted(export)}/files/{quoted(file)}", {}))

    async def get_configuration(self, gateway: str) -> m.ConfigurationOut:
        """What a gateway is to run, what it runs, and what stands between."""
        return cast('m.ConfigurationOut', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration", {})))

    async def get_configuration_assignment(self, assignment: str) -> m.AssignmentDetail:
        """An assignment with its history."""
        return cast('m.AssignmentDetail', await self.call(Call("GET", f"/v1/configuration-assignments/{quoted(assignment)}", {})))

    async def get_configuration_rollout(self, rollout: str) -> m.RolloutDetail:
        """A rollout with its gateways."""
        return cast('m.RolloutDetail', await self.call(Call("GET", f"/v1/configuration-rollouts/{quoted(rollout)}", {})))

    async def get_configuration_version(self, gateway: str, version: int) -> m.VersionDetail:
        """A version with its document."""
        return cast('m.VersionDetail', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/versions/{quoted(version)}", {})))

    async def get_deletion(self, deletion: str) -> m.DeletionOut:
        """How far a deletion is, and at its end the certificate."""
        return cast('m.DeletionOut', await self.call(Call("GET", f"/v1/governance/deletions/{quoted(deletion)}", {})))

    async def get_diff(self, model: str, *, old: int | None = None, new: int | None = None) -> m.ThingmodelsDiffOut:
        """How two versions differ; by default the newest and the one before, or the built-in one."""
        return cast('m.ThingmodelsDiffOut', await self.call(Call("GET", f"/v1/thing-models/{quoted(model)}/diff", {'old': old, 'new': new})))

    async def get_estimate(self, *, site: int | None = None) -> m.LlmPlan:
        """Calls, tokens and money that asking about the open templates would take; nothing is asked."""
        return cast('m.LlmPlan', await self.call(Call("GET", "/v1/llm/estimate", {'site': site})))

    async def get_feature(self, feature: str) -> m.FeatureOut:
        """One feature, and how it is for the company."""
        return cast('m.FeatureOut', await self.call(Call("GET", f"/v1/features/{quoted(feature)}", {})))

    async def get_figures(self, site: int, equipment: str, *, from_: str | None = None, to: str | None = None, rated_kwh: float | None = None, rated_kw: float | None = None, charge_positive: bool | None = None) -> m.BatteryFigures:
        """Energy in and out, equivalent full cycles and round-trip efficiency over at most 31 days.

        Each with coverage and grade; power > 0 discharges. What is not known is null and says why.
        """
        return cast('m.BatteryFigures', await self.call(Call("GET", f"/v1/batteries/{quoted(site)}/{quoted(equipment)}/metrics", {'from': from_, 'to': to, 'rated_kwh': rated_kwh, 'rated_kw': rated_kw, 'charge_positive': charge_positive})))

    async def get_finding(self, gateway: str, finding: str) -> m.FindingsFindingOut:
        """One event with its evidence."""
        return cast('m.FindingsFindingOut', await self.call(Call("GET", f"/v1/findings/{quoted(gateway)}/{quoted(finding)}", {})))

    async def get_gateway(self, gateway: str) -> m.GatewayOut:
        """One edge agent, with what it last reported."""
        return cast('m.GatewayOut', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}", {})))

    async def get_governance_gate(self, site: int) -> m.GateOut:
        """Whether the site may be published as it is now, and what is in the way."""
        return cast('m.GateOut', await self.call(Call("GET", f"/v1/governance/sites/{quoted(site)}/gate", {})))

    async def get_governance_rule(self, rule: str) -> m.GovernanceRuleOut:
        """A rule as it is applied."""
        return cast('m.GovernanceRuleOut', await self.call(Call("GET", f"/v1/governance/rules/{quoted(rule)}", {})))

    async def get_governance_site(self, site: int) -> m.ScoreOut:
        """What the last check of a site came to, rule by rule."""
        return cast('m.ScoreOut', await self.call(Call("GET", f"/v1/governance/sites/{quoted(site)}", {})))

    async def get_health(self) -> m.HealthOut:
        """State, age of the last success and latency of all that the service needs.

        200 also where something fails: `status` says `degraded` then. What is about your company alone
        is: its jobs, and the platforms that it publishes to.
        """
        return cast('m.HealthOut', await self.call(Call("GET", "/v1/health/detail", {})))

    async def get_history(self, site: int, *, limit: int | None = None, after: str | None = None) -> m.HistoryPage:
        """Every decision with who, when and what stood there before, the newest first."""
        return cast('m.HistoryPage', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/history", {'limit': limit, 'after': after})))

    async def all_history(self, site: int, *, limit: int | None = None) -> AsyncIterator[m.EventOut]:
        """Every item of `get_history`, page by page."""
        call = Call("GET", f"/v1/sites/{quoted(site)}/review/history", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.EventOut', item)

    async def get_job(self, job: str) -> m.JobOut:
        """A job with its stages, figures and troubles."""
        return cast('m.JobOut', await self.call(Call("GET", f"/v1/jobs/{quoted(job)}", {})))

    async def get_key(self, key_id: int) -> m.IdentityKeyOut:
        """A key with its scopes, and when it was last used."""
        return cast('m.IdentityKeyOut', await self.call(Call("GET", f"/v1/api-keys/{quoted(key_id)}", {})))

    async def get_latest(self, point: int) -> m.LatestOut:
        """The newest sample of one point; 404 with code `no_sample` where it never had one."""
        return cast('m.LatestOut', await self.call(Call("GET", f"/v1/points/{quoted(point)}/latest", {})))

    async def get_licence(self) -> m.LicenceOut:
        """What the company may have, and how near it is to that."""
        return cast('m.LicenceOut', await self.call(Call("GET", "/v1/licence", {})))

    async def get_llm(self) -> m.LlmStatus:
        """Whether an LLM refines the mapping, what it may use, what it has used and done."""
        return cast('m.LlmStatus', await self.call(Call("GET", "/v1/llm", {})))

    async def get_me(self) -> m.MeOut:
        """Who asks, for which company, and what that may do."""
        return cast('m.MeOut', await self.call(Call("GET", "/v1/me", {})))

    async def get_model(self, model: str, *, version: int | None = None) -> m.ModelDetail:
        """A model with its points, as it stands in one version, and the history of all."""
        return cast('m.ModelDetail', await self.call(Call("GET", f"/v1/thing-models/{quoted(model)}", {'version': version})))

    async def get_overview(self, site: int) -> m.OverviewOut:
        """What is open, and what share of it can be accepted at which precision, before anybody does."""
        return cast('m.OverviewOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/review", {})))

    async def get_plan(self, site: int) -> m.PlanOut:
        """What would have to be done on the platform; `state` says whether it is made yet."""
        return cast('m.PlanOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/publishing/plan", {})))

    async def get_point(self, point: int) -> m.PointOut:
        """One readable value with what it was mapped to."""
        return cast('m.PointOut', await self.call(Call("GET", f"/v1/points/{quoted(point)}", {})))

    async def get_publishing(self, site: int) -> m.PublishingOut:
        """What of a site is published, what is still to be, and its newest plan."""
        return cast('m.PublishingOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/publishing", {})))

    async def get_quarantined(self, gateway: str, row: int) -> m.QuarantinedDetail:
        """A refused row with what it says, and what its alias means."""
        return cast('m.QuarantinedDetail', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/quarantine/{quoted(row)}", {})))

    async def get_queue(self, site: int, *, state: Literal['open', 'deferred', 'decided', 'all'] | None = None, limit: int | None = None, after: str | None = None) -> m.TemplatePage:
        """Templates by points covered times uncertainty: one answer decides all points of one."""
        return cast('m.TemplatePage', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/queue", {'state': state, 'limit': limit, 'after': after})))

    async def all_queue(self, site: int, *, state: Literal['open', 'deferred', 'decided', 'all'] | None = None, limit: int | None = None) -> AsyncIterator[m.TemplateOut]:
        """Every item of `get_queue`, page by page."""
        call = Call("GET", f"/v1/sites/{quoted(site)}/review/queue", {'state': state, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.TemplateOut', item)

    async def get_rules(self, site: int) -> m.RulesOut:
        """What was learned from answers, and what people have written: a line each."""
        return cast('m.RulesOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/rules", {})))

    async def get_service_account(self, account: int) -> m.IdentityAccountOut:
        """A service account with its scopes."""
        return cast('m.IdentityAccountOut', await self.call(Call("GET", f"/v1/service-accounts/{quoted(account)}", {})))

    async def get_site(self, site: int) -> m.SitesSiteOut:
        """One building or plant."""
        return cast('m.SitesSiteOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}", {})))

    async def get_site_account(self, site: int, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None) -> m.SiteAccountOut:
        """The sum of its gateways' accounts, and each of them, at one moment."""
        return cast('m.SiteAccountOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/account", {'stream': stream})))

    async def get_site_description(self, site: int) -> m.GovernanceSiteOut:
        """Where a site is, and how its points are named."""
        return cast('m.GovernanceSiteOut', await self.call(Call("GET", f"/v1/governance/sites/{quoted(site)}/description", {})))

    async def get_summary(self, *, site: int | None = None) -> m.MappingSummary:
        """Counts of points, of mapped points and of those with a counterpart, and their confidence."""
        return cast('m.MappingSummary', await self.call(Call("GET", "/v1/mappings/summary", {'site': site})))

    async def get_usage(self, *, from_: str | None = None, to: str | None = None) -> m.UsageOut:
        """What the company used, day by day in UTC, the newest first: the last 31 days unless told."""
        return cast('m.UsageOut', await self.call(Call("GET", "/v1/usage", {'from': from_, 'to': to})))

    async def get_user(self, user: int) -> m.UserOut:
        """A member with its role."""
        return cast('m.UserOut', await self.call(Call("GET", f"/v1/users/{quoted(user)}", {})))

    async def get_webhook(self, webhook: int) -> m.WebhookOut:
        """One address, and how it does."""
        return cast('m.WebhookOut', await self.call(Call("GET", f"/v1/webhooks/{quoted(webhook)}", {})))

    async def get_why(self, site: int, template: str) -> m.WhyOut:
        """The evidence, the classes to choose from, points with their values, and what was decided."""
        return cast('m.WhyOut', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/review/templates/{quoted(template)}", {})))

    async def give_command(self, point: int, body: m.CommandIn, *, key: str | None = None) -> m.CommandOut:
        """Have a gateway write a point for a while; its own configuration says whether it does.

        The answer comes at once; what became of it is told by GET /v1/commands/{id}.
        """
        return cast('m.CommandOut', await self.call(Call("POST", f"/v1/points/{quoted(point)}/commands", {}, key=key, body=body, kinds=('application/json',))))

    async def import_models(self, body: Any, *, file: str | None = None, key: str | None = None) -> m.ThingmodelsImportOut:
        """Read models; one that is wrong costs no other. What differs becomes a further version."""
        return cast('m.ThingmodelsImportOut', await self.call(Call("POST", "/v1/thing-models/import", {'file': file}, key=key, body=body, kinds=('application/json',))))

    async def import_site(self, site: int, body: bytes, *, format_: Literal['haystack', 'haystack-v3', 'brick', 'enos', 'csv', 'spreadsheet'] | None = None, overwrite: bool | None = None, apply: str | None = None, key: str | None = None) -> m.ExchangeImportOut:
        """The body is the file. Without `apply` the plan is shown and nothing changes.

        Sent again with `apply` and the plan's name, exactly that is done; if the file or the site has
        changed meanwhile, nothing is. What is taken in counts as decided: the mapper leaves it alone.
        """
        return cast('m.ExchangeImportOut', await self.call(Call("POST", f"/v1/sites/{quoted(site)}/import", {'format': format_, 'overwrite': overwrite, 'apply': apply}, key=key, body=body, kinds=('application/octet-stream',))))

    async def issue_ticket(self, *, key: str | None = None) -> m.TicketOut:
        """A ticket opens one WebSocket within thirty seconds, and shows no key to anybody."""
        return cast('m.TicketOut', await self.call(Call("POST", "/v1/live/tickets", {}, key=key)))

    async def link_identity(self, body: m.LinkIn, *, key: str | None = None) -> m.LinkBegun:
        """Prove by password who I am, then log in there: from then on that log-in is mine."""
        return cast('m.LinkBegun', await self.call(Call("POST", "/v1/me/identities", {}, key=key, body=body, kinds=('application/json',))))

    async def list_accounts(self, *, limit: int | None = None, after: str | None = None) -> m.AccountPage:
        """Programs that get tokens by client id and secret, oldest first."""
        return cast('m.AccountPage', await self.call(Call("GET", "/v1/service-accounts", {'limit': limit, 'after': after})))

    async def all_accounts(self, *, limit: int | None = None) -> AsyncIterator[m.IdentityAccountOut]:
        """Every item of `list_accounts`, page by page."""
        call = Call("GET", "/v1/service-accounts", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.IdentityAccountOut', item)

    async def list_acts(self, *, actor: str | None = None, action: str | None = None, subject: str | None = None, request: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None, after: str | None = None) -> m.ActPage:
        """Everything that was done in the company, the newest first."""
        return cast('m.ActPage', await self.call(Call("GET", "/v1/audit", {'actor': actor, 'action': action, 'subject': subject, 'request': request, 'from': from_, 'to': to, 'limit': limit, 'after': after})))

    async def all_acts(self, *, actor: str | None = None, action: str | None = None, subject: str | None = None, request: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None) -> AsyncIterator[m.ActOut]:
        """Every item of `list_acts`, page by page."""
        call = Call("GET", "/v1/audit", {'actor': actor, 'action': action, 'subject': subject, 'request': request, 'from': from_, 'to': to, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.ActOut', item)

    async def list_alarm_history(self, alarm: int, *, limit: int | None = None, after: str | None = None) -> m.AlarmHistoryPage:
        """All that ever happened to it, the newest first."""
        return cast('m.AlarmHistoryPage', await self.call(Call("GET", f"/v1/alarms/{quoted(alarm)}/history", {'limit': limit, 'after': after})))

    async def all_alarm_history(self, alarm: int, *, limit: int | None = None) -> AsyncIterator[m.AlarmEventOut]:
        """Every item of `list_alarm_history`, page by page."""
        call = Call("GET", f"/v1/alarms/{quoted(alarm)}/history", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.AlarmEventOut', item)

    async def list_alarm_notices(self, receiver: int, *, state: Literal['waiting', 'sent', 'dropped', 'failed'] | None = None, limit: int | None = None, after: str | None = None) -> m.NoticePage:
        """What it was told and is to be told, the newest first; `failed` is what nobody took."""
        return cast('m.NoticePage', await self.call(Call("GET", f"/v1/alarm-receivers/{quoted(receiver)}/notices", {'state': state, 'limit': limit, 'after': after})))

    async def all_alarm_notices(self, receiver: int, *, state: Literal['waiting', 'sent', 'dropped', 'failed'] | None = None, limit: int | None = None) -> AsyncIterator[m.AlarmsNoticeOut]:
        """Every item of `list_alarm_notices`, page by page."""
        call = Call("GET", f"/v1/alarm-receivers/{quoted(receiver)}/notices", {'state': state, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.AlarmsNoticeOut', item)

    async def list_alarm_receivers(self, *, limit: int | None = None, after: str | None = None) -> m.ReceiverPage:
        """Mailboxes and webhooks, by number."""
        return cast('m.ReceiverPage', await self.call(Call("GET", "/v1/alarm-receivers", {'limit': limit, 'after': after})))

    async def all_alarm_receivers(self, *, limit: int | None = None) -> AsyncIterator[m.ReceiverItem]:
        """Every item of `list_alarm_receivers`, page by page."""
        call = Call("GET", "/v1/alarm-receivers", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.ReceiverItem', item)

    async def list_alarm_rules(self, *, site: int | None = None, limit: int | None = None, after: str | None = None) -> m.RulePage:
        """What is an alarm, by number."""
        return cast('m.RulePage', await self.call(Call("GET", "/v1/alarm-rules", {'site': site, 'limit': limit, 'after': after})))

    async def all_alarm_rules(self, *, site: int | None = None, limit: int | None = None) -> AsyncIterator[m.RuleItem]:
        """Every item of `list_alarm_rules`, page by page."""
        call = Call("GET", "/v1/alarm-rules", {'site': site, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.RuleItem', item)

    async def list_alarms(self, *, site: int | None = None, gateway: str | None = None, point: int | None = None, rule: int | None = None, state: Literal['normal', 'unacknowledged', 'acknowledged', 'returned', 'latched_unacknowledged', 'latched_acknowledged', 'shelved', 'suppressed', 'out_of_service'] | None = None, all: bool | None = None, priority: Literal['low', 'medium', 'high', 'critical'] | None = None, assignee: str | None = None, limit: int | None = None, after: str | None = None) -> m.AlarmPage:
        """Alarms that are not normal, the most urgent first and of those the newest."""
        return cast('m.AlarmPage', await self.call(Call("GET", "/v1/alarms", {'site': site, 'gateway': gateway, 'point': point, 'rule': rule, 'state': state, 'all': all, 'priority': priority, 'assignee': assignee, 'limit': limit, 'after': after})))

    async def all_alarms(self, *, site: int | None = None, gateway: str | None = None, point: int | None = None, rule: int | None = None, state: Literal['normal', 'unacknowledged', 'acknowledged', 'returned', 'latched_unacknowledged', 'latched_acknowledged', 'shelved', 'suppressed', 'out_of_service'] | None = None, all: bool | None = None, priority: Literal['low', 'medium', 'high', 'critical'] | None = None, assignee: str | None = None, limit: int | None = None) -> AsyncIterator[m.AlarmItem]:
        """Every item of `list_alarms`, page by page."""
        call = Call("GET", "/v1/alarms", {'site': site, 'gateway': gateway, 'point': point, 'rule': rule, 'state': state, 'all': all, 'priority': priority, 'assignee': assignee, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.AlarmItem', item)

    async def list_audit_keys(self) -> m.KeyList:
        """The public half, for whoever verifies: keep it when you get it first.

        The worker makes the key at its first start; the list is empty before, and where this process
        has not the data folder of the worker.
        """
        return cast('m.KeyList', await self.call(Call("GET", "/v1/audit/keys", {})))

    async def list_batteries(self, site: int) -> m.BatteryList:
        """Equipment of class Battery*, with the points that power, charge and energy are read from."""
        return cast('m.BatteryList', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/batteries", {})))

    async def list_certificates(self, gateway: str) -> m.CertificatesOut:
        """What was issued to a gateway, what it uses, and what is revoked."""
        return cast('m.CertificatesOut', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/certificates", {})))

    async def list_command_rules(self) -> m.CommandRuleList:
        """For which points a second person must confirm what is written."""
        return cast('m.CommandRuleList', await self.call(Call("GET", "/v1/command-rules", {})))

    async def list_company_exports(self, *, limit: int | None = None, after: str | None = None) -> m.ExportPage:
        """What was exported, the newest first."""
        return cast('m.ExportPage', await self.call(Call("GET", "/v1/governance/exports", {'limit': limit, 'after': after})))

    async def all_company_exports(self, *, limit: int | None = None) -> AsyncIterator[m.ExportOut]:
        """Every item of `list_company_exports`, page by page."""
        call = Call("GET", "/v1/governance/exports", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.ExportOut', item)

    async def list_configuration_assignments(self, gateway: str, *, limit: int | None = None, after: str | None = None) -> m.AssignmentPage:
        """What a gateway was to have, the newest first, and what became of it."""
        return cast('m.AssignmentPage', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/assignments", {'limit': limit, 'after': after})))

    async def all_configuration_assignments(self, gateway: str, *, limit: int | None = None) -> AsyncIterator[m.AssignmentOut]:
        """Every item of `list_configuration_assignments`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/assignments", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.AssignmentOut', item)

    async def list_configuration_rollouts(self, *, limit: int | None = None, after: str | None = None) -> m.RolloutPage:
        """Rollouts of the company, the newest first."""
        return cast('m.RolloutPage', await self.call(Call("GET", "/v1/configuration-rollouts", {'limit': limit, 'after': after})))

    async def all_configuration_rollouts(self, *, limit: int | None = None) -> AsyncIterator[m.RolloutOut]:
        """Every item of `list_configuration_rollouts`, page by page."""
        call = Call("GET", "/v1/configuration-rollouts", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.RolloutOut', item)

    async def list_configuration_versions(self, gateway: str, *, limit: int | None = None, after: str | None = None) -> m.VersionPage:
        """Versions of a gateway's configuration, the newest first."""
        return cast('m.VersionPage', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/versions", {'limit': limit, 'after': after})))

    async def all_configuration_versions(self, gateway: str, *, limit: int | None = None) -> AsyncIterator[m.ConfigurationVersionOut]:
        """Every item of `list_configuration_versions`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/configuration/versions", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.ConfigurationVersionOut', item)

    async def list_consumers(self, site: int, *, limit: int | None = None, after: str | None = None) -> m.ConsumerPage:
        """Named consumers of the site's replay by name, and how far each has come."""
        return cast('m.ConsumerPage', await self.call(Call("GET", f"/v1/sites/{quoted(site)}/replays", {'limit': limit, 'after': after})))

    async def all_consumers(self, site: int, *, limit: int | None = None) -> AsyncIterator[m.ConsumerOut]:
        """Every item of `list_consumers`, page by page."""
        call = Call("GET", f"/v1/sites/{quoted(site)}/replays", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.ConsumerOut', item)

    async def list_counters(self) -> m.Counters:
        """Counts of the whole company by name: refused messages, published values and the like."""
        return cast('m.Counters', await self.call(Call("GET", "/v1/counters", {})))

    async def list_deletions(self, *, limit: int | None = None, after: str | None = None) -> m.DeletionPage:
        """What was planned, goes, or has gone, the newest first."""
        return cast('m.DeletionPage', await self.call(Call("GET", "/v1/governance/deletions", {'limit': limit, 'after': after})))

    async def all_deletions(self, *, limit: int | None = None) -> AsyncIterator[m.DeletionOut]:
        """Every item of `list_deletions`, page by page."""
        call = Call("GET", "/v1/governance/deletions", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.DeletionOut', item)

    async def list_deliveries(self, webhook: int, *, state: Literal['waiting', 'delivered', 'dead'] | None = None, limit: int | None = None, after: str | None = None) -> m.DeliveryPage:
        """What was sent or is yet to be sent, newest first."""
        return cast('m.DeliveryPage', await self.call(Call("GET", f"/v1/webhooks/{quoted(webhook)}/deliveries", {'state': state, 'limit': limit, 'after': after})))

    async def all_deliveries(self, webhook: int, *, state: Literal['waiting', 'delivered', 'dead'] | None = None, limit: int | None = None) -> AsyncIterator[m.DeliveryOut]:
        """Every item of `list_deliveries`, page by page."""
        call = Call("GET", f"/v1/webhooks/{quoted(webhook)}/deliveries", {'state': state, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.DeliveryOut', item)

    async def list_devices(self, *, site: int | None = None, gateway: str | None = None, limit: int | None = None, after: str | None = None) -> m.DevicePage:
        """What the gateways talk to: BACnet devices and Modbus units, oldest first."""
        return cast('m.DevicePage', await self.call(Call("GET", "/v1/devices", {'site': site, 'gateway': gateway, 'limit': limit, 'after': after})))

    async def all_devices(self, *, site: int | None = None, gateway: str | None = None, limit: int | None = None) -> AsyncIterator[m.DeviceOut]:
        """Every item of `list_devices`, page by page."""
        call = Call("GET", "/v1/devices", {'site': site, 'gateway': gateway, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.DeviceOut', item)

    async def list_edge_acts(self, *, gateway: str | None = None, kind: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None, after: str | None = None) -> m.EdgeActPage:
        """The audit of the gateways, a stream of its own, the newest first by their clocks."""
        return cast('m.EdgeActPage', await self.call(Call("GET", "/v1/audit/edge", {'gateway': gateway, 'kind': kind, 'from': from_, 'to': to, 'limit': limit, 'after': after})))

    async def all_edge_acts(self, *, gateway: str | None = None, kind: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None) -> AsyncIterator[m.EdgeActOut]:
        """Every item of `list_edge_acts`, page by page."""
        call = Call("GET", "/v1/audit/edge", {'gateway': gateway, 'kind': kind, 'from': from_, 'to': to, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.EdgeActOut', item)

    async def list_edge_streams(self, *, gateway: str | None = None) -> m.EdgeStreamList:
        """Of every start of an agent: which order numbers came, were lost, or are missing."""
        return cast('m.EdgeStreamList', await self.call(Call("GET", "/v1/audit/edge/streams", {'gateway': gateway})))

    async def list_expected_gateways(self, *, limit: int | None = None, after: str | None = None) -> m.ExpectedPage:
        """The company's lists, by fingerprint."""
        return cast('m.ExpectedPage', await self.call(Call("GET", "/v1/gateways/expected", {'limit': limit, 'after': after})))

    async def all_expected_gateways(self, *, limit: int | None = None) -> AsyncIterator[m.ExpectedOut]:
        """Every item of `list_expected_gateways`, page by page."""
        call = Call("GET", "/v1/gateways/expected", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.ExpectedOut', item)

    async def list_features(self) -> m.FeatureList:
        """Features that can be switched for the company, and how they are."""
        return cast('m.FeatureList', await self.call(Call("GET", "/v1/features", {})))

    async def list_findings(self, *, site: int | None = None, from_: str | None = None, to: str | None = None, open: bool | None = None, limit: int | None = None, after: str | None = None) -> m.FindingsFindingPage:
        """What detectors found, the newest first; with `from` and `to` what went on between them."""
        return cast('m.FindingsFindingPage', await self.call(Call("GET", "/v1/findings", {'site': site, 'from': from_, 'to': to, 'open': open, 'limit': limit, 'after': after})))

    async def all_findings(self, *, site: int | None = None, from_: str | None = None, to: str | None = None, open: bool | None = None, limit: int | None = None) -> AsyncIterator[m.FindingsFindingOut]:
        """Every item of `list_findings`, page by page."""
        call = Call("GET", "/v1/findings", {'site': site, 'from': from_, 'to': to, 'open': open, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.FindingsFindingOut', item)

    async def list_gaps(self, gateway: str, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, cause: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None, after: str | None = None) -> m.GapPage:
        """Rows that the gateway declared lost, the newest record first.

        `from` and `to` ask when the rows were accepted; where that is not known, when we were told.
        """
        return cast('m.GapPage', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/gaps", {'stream': stream, 'cause': cause, 'from': from_, 'to': to, 'limit': limit, 'after': after})))

    async def all_gaps(self, gateway: str, *, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, cause: str | None = None, from_: str | None = None, to: str | None = None, limit: int | None = None) -> AsyncIterator[m.GapOut]:
        """Every item of `list_gaps`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/gaps", {'stream': stream, 'cause': cause, 'from': from_, 'to': to, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.GapOut', item)

    async def list_gateways(self, *, site: int | None = None, limit: int | None = None, after: str | None = None) -> m.GatewayPage:
        """The company's edge agents by id."""
        return cast('m.GatewayPage', await self.call(Call("GET", "/v1/gateways", {'site': site, 'limit': limit, 'after': after})))

    async def all_gateways(self, *, site: int | None = None, limit: int | None = None) -> AsyncIterator[m.GatewayOut]:
        """Every item of `list_gateways`, page by page."""
        call = Call("GET", "/v1/gateways", {'site': site, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.GatewayOut', item)

    async def list_governance_facts(self) -> m.FactList:
        """What expressions may name, by kind of subject."""
        return cast('m.FactList', await self.call(Call("GET", "/v1/governance/facts", {})))

    async def list_governance_findings(self, *, site: int | None = None, rule: str | None = None, severity: Literal['info', 'warning', 'error', 'blocker'] | None = None, state: Literal['open', 'waived', 'closed'] | None = None, limit: int | None = None, after: str | None = None) -> m.GovernanceFindingPage:
        """What rules found, oldest first; the same rule of the same thing is the same finding."""
        return cast('m.GovernanceFindingPage', await self.call(Call("GET", "/v1/governance/findings", {'site': site, 'rule': rule, 'severity': severity, 'state': state, 'limit': limit, 'after': after})))

    async def all_governance_findings(self, *, site: int | None = None, rule: str | None = None, severity: Literal['info', 'warning', 'error', 'blocker'] | None = None, state: Literal['open', 'waived', 'closed'] | None = None, limit: int | None = None) -> AsyncIterator[m.GovernanceFindingOut]:
        """Every item of `list_governance_findings`, page by page."""
        call = Call("GET", "/v1/governance/findings", {'site': site, 'rule': rule, 'severity': severity, 'state': state, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.GovernanceFindingOut', item)

    async def list_governance_rules(self) -> m.RuleList:
        """All rules as they are applied: the built-in ones, and the company's own."""
        return cast('m.RuleList', await self.call(Call("GET", "/v1/governance/rules", {})))

    async def list_governance_sites(self) -> m.ScoreList:
        """What the last check of each site came to."""
        return cast('m.ScoreList', await self.call(Call("GET", "/v1/governance/sites", {})))

    async def list_governance_waivers(self, *, site: int | None = None, open: bool | None = None, limit: int | None = None, after: str | None = None) -> m.WaiverPage:
        """What somebody puts up with, or did, oldest first."""
        return cast('m.WaiverPage', await self.call(Call("GET", "/v1/governance/waivers", {'site': site, 'open': open, 'limit': limit, 'after': after})))

    async def all_governance_waivers(self, *, site: int | None = None, open: bool | None = None, limit: int | None = None) -> AsyncIterator[m.WaiverOut]:
        """Every item of `list_governance_waivers`, page by page."""
        call = Call("GET", "/v1/governance/waivers", {'site': site, 'open': open, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.WaiverOut', item)

    async def list_heads(self, *, limit: int | None = None, after: str | None = None) -> m.HeadPage:
        """Ends of the chain that were signed, the newest first: keep them where nobody of us is."""
        return cast('m.HeadPage', await self.call(Call("GET", "/v1/audit/heads", {'limit': limit, 'after': after})))

    async def all_heads(self, *, limit: int | None = None) -> AsyncIterator[m.HeadOut]:
        """Every item of `list_heads`, page by page."""
        call = Call("GET", "/v1/audit/heads", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.HeadOut', item)

    async def list_identities(self) -> m.LinkList:
        """Identity providers whose log-in leads to my account, and all there are."""
        return cast('m.LinkList', await self.call(Call("GET", "/v1/me/identities", {})))

    async def list_invitations(self, *, ended: bool | None = None, limit: int | None = None, after: str | None = None) -> m.InvitationPage:
        """Who is invited, oldest first."""
        return cast('m.InvitationPage', await self.call(Call("GET", "/v1/invitations", {'ended': ended, 'limit': limit, 'after': after})))

    async def all_invitations(self, *, ended: bool | None = None, limit: int | None = None) -> AsyncIterator[m.InvitationOut]:
        """Every item of `list_invitations`, page by page."""
        call = Call("GET", "/v1/invitations", {'ended': ended, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.InvitationOut', item)

    async def list_job_buildings(self, job: str, *, limit: int | None = None, after: str | None = None) -> m.BuildingPage:
        """How far each building has come, and how sure it is."""
        return cast('m.BuildingPage', await self.call(Call("GET", f"/v1/jobs/{quoted(job)}/buildings", {'limit': limit, 'after': after})))

    async def all_job_buildings(self, job: str, *, limit: int | None = None) -> AsyncIterator[m.BuildingOut]:
        """Every item of `list_job_buildings`, page by page."""
        call = Call("GET", f"/v1/jobs/{quoted(job)}/buildings", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.BuildingOut', item)

    async def list_job_points(self, job: str, *, building: int | None = None, limit: int | None = None, after: str | None = None) -> m.JobPointPage:
        """Points in the order they came in, with what is found of them so far."""
        return cast('m.JobPointPage', await self.call(Call("GET", f"/v1/jobs/{quoted(job)}/points", {'building': building, 'limit': limit, 'after': after})))

    async def all_job_points(self, job: str, *, building: int | None = None, limit: int | None = None) -> AsyncIterator[m.JobPointOut]:
        """Every item of `list_job_points`, page by page."""
        call = Call("GET", f"/v1/jobs/{quoted(job)}/points", {'building': building, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.JobPointOut', item)

    async def list_jobs(self, *, state: Literal['open', 'done', 'failed', 'cancelled'] | None = None, limit: int | None = None, after: str | None = None) -> m.JobPage:
        """The company's jobs, the newest first."""
        return cast('m.JobPage', await self.call(Call("GET", "/v1/jobs", {'state': state, 'limit': limit, 'after': after})))

    async def all_jobs(self, *, state: Literal['open', 'done', 'failed', 'cancelled'] | None = None, limit: int | None = None) -> AsyncIterator[m.JobShort]:
        """Every item of `list_jobs`, page by page."""
        call = Call("GET", "/v1/jobs", {'state': state, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.JobShort', item)

    async def list_keys(self, *, ended: bool | None = None, limit: int | None = None, after: str | None = None) -> m.KeyPage:
        """The company's keys, oldest first; nothing can show a key itself again."""
        return cast('m.KeyPage', await self.call(Call("GET", "/v1/api-keys", {'ended': ended, 'limit': limit, 'after': after})))

    async def all_keys(self, *, ended: bool | None = None, limit: int | None = None) -> AsyncIterator[m.IdentityKeyOut]:
        """Every item of `list_keys`, page by page."""
        call = Call("GET", "/v1/api-keys", {'ended': ended, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.IdentityKeyOut', item)

    async def list_latest(self, *, point: Sequence[int] | None = None, site: int | None = None, limit: int | None = None, after: str | None = None) -> m.LatestPage:
        """The newest sample of each point that has one, by point id."""
        return cast('m.LatestPage', await self.call(Call("GET", "/v1/latest", {'point': point, 'site': site, 'limit': limit, 'after': after})))

    async def all_latest(self, *, point: Sequence[int] | None = None, site: int | None = None, limit: int | None = None) -> AsyncIterator[m.LatestOut]:
        """Every item of `list_latest`, page by page."""
        call = Call("GET", "/v1/latest", {'point': point, 'site': site, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.LatestOut', item)

    async def list_mappings(self, *, site: int | None = None, state: Literal['proposed', 'accepted', 'rejected'] | None = None, equip_class: str | None = None, min_confidence: float | None = None, limit: int | None = None, after: str | None = None) -> m.MappingPage:
        """What points were mapped to, with confidence and evidence, by point id."""
        return cast('m.MappingPage', await self.call(Call("GET", "/v1/mappings", {'site': site, 'state': state, 'equip_class': equip_class, 'min_confidence': min_confidence, 'limit': limit, 'after': after})))

    async def all_mappings(self, *, site: int | None = None, state: Literal['proposed', 'accepted', 'rejected'] | None = None, equip_class: str | None = None, min_confidence: float | None = None, limit: int | None = None) -> AsyncIterator[m.MappingOut]:
        """Every item of `list_mappings`, page by page."""
        call = Call("GET", "/v1/mappings", {'site': site, 'state': state, 'equip_class': equip_class, 'min_confidence': min_confidence, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.MappingOut', item)

    async def list_models(self) -> m.ModelList:
        """What points can be mapped to: the company's own models, and the built-in ones beside them."""
        return cast('m.ModelList', await self.call(Call("GET", "/v1/thing-models", {})))

    async def list_overrides(self, *, ended: bool | None = None) -> m.OverrideList:
        """What the company says in place of its mappings, by id."""
        return cast('m.OverrideList', await self.call(Call("GET", "/v1/mapping-overrides", {'ended': ended})))

    async def list_points(self, *, limit: int | None = None, after: str | None = None, q: str | None = None, site: int | None = None, gateway: str | None = None, device: int | None = None, equip_class: str | None = None, point_class: str | None = None, model: str | None = None) -> m.PointPage:
        """Every readable value with what it was mapped to, oldest first."""
        return cast('m.PointPage', await self.call(Call("GET", "/v1/points", {'limit': limit, 'after': after, 'q': q, 'site': site, 'gateway': gateway, 'device': device, 'equip_class': equip_class, 'point_class': point_class, 'model': model})))

    async def all_points(self, *, limit: int | None = None, q: str | None = None, site: int | None = None, gateway: str | None = None, device: int | None = None, equip_class: str | None = None, point_class: str | None = None, model: str | None = None) -> AsyncIterator[m.PointOut]:
        """Every item of `list_points`, page by page."""
        call = Call("GET", "/v1/points", {'limit': limit, 'q': q, 'site': site, 'gateway': gateway, 'device': device, 'equip_class': equip_class, 'point_class': point_class, 'model': model})
        async for item in self.pages(call):
            yield cast('m.PointOut', item)

    async def list_quarantine(self, gateway: str, *, reason: str | None = None, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, state: Literal['held', 'released', 'discarded'] | None = None, limit: int | None = None, after: str | None = None) -> m.QuarantinePage:
        """Rows that could not be stored, the newest first; by default those nobody has decided about."""
        return cast('m.QuarantinePage', await self.call(Call("GET", f"/v1/gateways/{quoted(gateway)}/quarantine", {'reason': reason, 'stream': stream, 'state': state, 'limit': limit, 'after': after})))

    async def all_quarantine(self, gateway: str, *, reason: str | None = None, stream: Literal['tel', 'evt', 'aud', 'cmd'] | None = None, state: Literal['held', 'released', 'discarded'] | None = None, limit: int | None = None) -> AsyncIterator[m.QuarantinedOut]:
        """Every item of `list_quarantine`, page by page."""
        call = Call("GET", f"/v1/gateways/{quoted(gateway)}/quarantine", {'reason': reason, 'stream': stream, 'state': state, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.QuarantinedOut', item)

    async def list_roles(self) -> m.RoleList:
        """The roles there are, and the permissions that each holds."""
        return cast('m.RoleList', await self.call(Call("GET", "/v1/roles", {})))

    async def list_samples(self, point: int, *, from_: str | None = None, to: str | None = None, interval: str | None = None, agg: str | None = None, limit: int | None = None, after: str | None = None) -> m.SamplePage | m.BucketList:
        """Without `interval` single samples in pages, of at most 31 days; without `from` the last day.

        With `interval` at most 10,000 intervals, aligned to multiples of it since 1970-01-01 UTC; the
        first and last hold only what lies within from..to. Only good samples make the aggregates.
        """
        return cast('m.SamplePage | m.BucketList', await self.call(Call("GET", f"/v1/points/{quoted(point)}/samples", {'from': from_, 'to': to, 'interval': interval, 'agg': agg, 'limit': limit, 'after': after})))

    async def all_samples(self, point: int, *, from_: str | None = None, to: str | None = None, interval: str | None = None, agg: str | None = None, limit: int | None = None) -> AsyncIterator[m.SamplesSampleOut]:
        """Every item of `list_samples`, page by page."""
        call = Call("GET", f"/v1/points/{quoted(point)}/samples", {'from': from_, 'to': to, 'interval': interval, 'agg': agg, 'limit': limit})
        async for item in self.pages(call):
            yield cast('m.SamplesSampleOut', item)

    async def list_sessions(self) -> m.SessionList:
        """Where I am logged in for this company, the newest first."""
        return cast('m.SessionList', await self.call(Call("GET", "/v1/me/sessions", {})))

    async def list_sites(self, *, limit: int | None = None, after: str | None = None) -> m.SitePage:
        """The company's buildings and plants, oldest first."""
        return cast('m.SitePage', await self.call(Call("GET", "/v1/sites", {'limit': limit, 'after': after})))

    async def all_sites(self, *, limit: int | None = None) -> AsyncIterator[m.SitesSiteOut]:
        """Every item of `list_sites`, page by page."""
        call = Call("GET", "/v1/sites", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.SitesSiteOut', item)

    async def list_user_sessions(self, user: int) -> m.SessionList:
        """Where a member is logged in for this company, the newest first."""
        return cast('m.SessionList', await self.call(Call("GET", f"/v1/users/{quoted(user)}/sessions", {})))

    async def list_users(self, *, limit: int | None = None, after: str | None = None) -> m.UserPage:
        """Who may act for the company, oldest members first."""
        return cast('m.UserPage', await self.call(Call("GET", "/v1/users", {'limit': limit, 'after': after})))

    async def all_users(self, *, limit: int | None = None) -> AsyncIterator[m.UserOut]:
        """Every item of `list_users`, page by page."""
        call = Call("GET", "/v1/users", {'limit': limit})
        async for item in self.pages(call):
            yield cast('m.UserOut', item)

    async def list_webhooks(self) -> m.WebhookList:
        """All addresses that are told what happens, by id."""
        return cast('m.WebhookList', await self.call(Call("GET", "/v1/webhooks", {})))

    async def log_out(self, *, key: str | None = None) -> m.IdentityDoneOut:
        """End the session that this token belongs to."""
        return cast('m.IdentityDoneOut', await self.call(Call("POST", "/v1/me/logout", {}, key=key)))

    async def look_at_device(self, body: m.LookIn, *, key: str | None = None) -> m.SeenOut:
        """What a device that waits says of itself: compare the fingerprint before you claim it."""
        return cast('m.SeenOut', await self.call(Call("POST", "/v1/gateways/claim/look", {}, key=key, body=body, kinds=('application/json',))))

    async def plan_deletion(self, body: m.DeletionIn, *, key: str | None = None) -> m.DeletionOut:
        """Count what of a site, a person or the company would go; nothing does before it is confirmed."""
        return cast('m.DeletionOut', await self.call(Call("POST", "/v1/governance/deletions", {}, key=key, body=body, kinds=('application/json',))))

    async def post_answers(self, site: int, body: m.AnswersIn, *, key: str | None = None) -> m.ReviewDoneOut:
        """Accept, correct, reject or put off, many at once; rules that follow are applied with it.

        All answers are taken or none. Sent again under the same name, a request is answered again and
        nothing happens.
        """
        return cast('m.ReviewDoneOut', await self.call(Call("POST", f"/v1/sites/{quoted(site)}/review/answers", {}, key=key, body=body, kinds=('application/json',))))

    async def post_undo(self, site: int, body: m.UndoIn, *, key: str | None = None) -> m.ReviewDoneOut:
        """Take the last request back, or the one that is named; the history keeps both."""
        return cast('m.ReviewDoneOut', await self.call(Call("POST", f"/v1/sites/{quoted(site)}/review/undo", {}, key=key, body=body, kinds=('application/json',))))

    async def put_rules(self, site: int, body: m.RulesIn, *, if_match: str | None = None, key: str | None = None) -> m.ReviewDoneOut:
        """Take all rules as they are sent, and apply them; a learned rule left out is not learned again.

        `If-Match` is the ETag of the rules that were read: if they have changed since, nothing is done.
        """
        return cast('m.ReviewDoneOut', await self.call(Call("PUT", f"/v1/sites/{quoted(site)}/review/rules", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def put_site_description(self, site: int, body: m.SiteIn, *, if_match: str | None = None, key: str | None = None) -> m.GovernanceSiteOut:
        """Say where a site is, and by which patterns its points are named."""
        return cast('m.GovernanceSiteOut', await self.call(Call("PUT", f"/v1/governance/sites/{quoted(site)}/description", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def release(self, gateway: str, row: int, body: m.Release | None = None, *, key: str | None = None) -> m.DecisionOut:
        """Run it through the ingest again, corrected where that is asked for; stored exactly once.

        The account moves from quarantined to stored in the same transaction. Asked again, the answer is
        the same and nothing happens.
        """
        return cast('m.DecisionOut', await self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/quarantine/{quoted(row)}/release", {}, key=key, body=body, kinds=('application/json',))))

    async def release_gateway(self, gateway: str, *, key: str | None = None) -> m.CertificatesOut:
        """Let a device go to another site or company: it is revoked, and may be claimed once reset."""
        return cast('m.CertificatesOut', await self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/release", {}, key=key)))

    async def remove_alarm(self, alarm: int, body: m.AlarmReasonIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Keep it from everybody until somebody brings it back: for maintenance."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/remove", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def remove_command_rule(self, rule: int, *, key: str | None = None) -> m.CommandRuleOut:
        """Remove a rule; commands that wait for a second person go on waiting."""
        return cast('m.CommandRuleOut', await self.call(Call("DELETE", f"/v1/command-rules/{quoted(rule)}", {}, key=key)))

    async def remove_user(self, user: int, *, key: str | None = None) -> m.UserOut:
        """End a membership and its sessions; what the user is elsewhere stays."""
        return cast('m.UserOut', await self.call(Call("DELETE", f"/v1/users/{quoted(user)}", {}, key=key)))

    async def renew_secret(self, webhook: int, *, key: str | None = None) -> m.WebhookMade:
        """Make a new secret, shown this once. For a day messages are signed with the old one as well."""
        return cast('m.WebhookMade', await self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/secret", {}, key=key)))

    async def replace_secret(self, account: int, *, key: str | None = None) -> m.AccountMade:
        """Another secret; the old one and all tokens it has got open nothing any more."""
        return cast('m.AccountMade', await self.call(Call("POST", f"/v1/service-accounts/{quoted(account)}/secret", {}, key=key)))

    async def replay_deliveries(self, webhook: int, body: m.ReplayIn, *, key: str | None = None) -> m.ReplayOut:
        """Send what was given up (or delivered) again, under its ids: receivers know repetitions."""
        return cast('m.ReplayOut', await self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/replay", {}, key=key, body=body, kinds=('application/json',))))

    async def replay_delivery(self, webhook: int, delivery: int, *, key: str | None = None) -> m.ReplayOut:
        """Send one message again, whatever became of it."""
        return cast('m.ReplayOut', await self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/deliveries/{quoted(delivery)}/replay", {}, key=key)))

    async def reset_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """End a latched alarm whose condition has gone and which is acknowledged."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/reset", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def reset_feature(self, feature: str, *, if_match: str | None = None, key: str | None = None) -> m.FeatureOut:
        """Switch a feature to what it is for everybody."""
        return cast('m.FeatureOut', await self.call(Call("DELETE", f"/v1/features/{quoted(feature)}", {}, if_match=if_match, key=key)))

    async def restore_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Bring it back as what its condition says."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/restore", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def resume_configuration_rollout(self, rollout: str, body: m.ResumeIn, *, key: str | None = None) -> m.RolloutDetail:
        """Go on with a rollout that has halted."""
        return cast('m.RolloutDetail', await self.call(Call("POST", f"/v1/configuration-rollouts/{quoted(rollout)}/resume", {}, key=key, body=body, kinds=('application/json',))))

    async def resume_job(self, job: str, *, key: str | None = None) -> m.JobOut:
        """Take up one that was cancelled or has failed; what is done is not done again."""
        return cast('m.JobOut', await self.call(Call("POST", f"/v1/jobs/{quoted(job)}/resume", {}, key=key)))

    async def retry_alarm_notices(self, receiver: int, *, key: str | None = None) -> m.TriedAgain:
        """Have what has failed told after all."""
        return cast('m.TriedAgain', await self.call(Call("POST", f"/v1/alarm-receivers/{quoted(receiver)}/retry", {}, key=key)))

    async def revoke_gateway(self, gateway: str, body: m.RevokeIn, *, key: str | None = None) -> m.CertificatesOut:
        """End a gateway's identity for good: within a minute no broker and no route takes it.

        Its history stays. To release a device, so that another company may claim it, is the same: the
        device gets a new identity when it is reset.
        """
        return cast('m.CertificatesOut', await self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/revoke", {}, key=key, body=body, kinds=('application/json',))))

    async def revoke_invitation(self, invitation: int, *, key: str | None = None) -> m.InvitationOut:
        """Its token is good for nothing any more."""
        return cast('m.InvitationOut', await self.call(Call("DELETE", f"/v1/invitations/{quoted(invitation)}", {}, key=key)))

    async def revoke_key(self, key_id: int, *, key: str | None = None) -> m.IdentityKeyOut:
        """It opens nothing any more: here at once, in other processes within seconds."""
        return cast('m.IdentityKeyOut', await self.call(Call("DELETE", f"/v1/api-keys/{quoted(key_id)}", {}, key=key)))

    async def roll_out_configuration(self, body: m.RolloutIn, *, key: str | None = None) -> m.RolloutDetail:
        """Stage a change for several gateways, wave by wave; it halts where too many fail."""
        return cast('m.RolloutDetail', await self.call(Call("POST", "/v1/configuration-rollouts", {}, key=key, body=body, kinds=('application/json',))))

    async def rotate_key(self, key_id: int, body: m.RotateIn, *, key: str | None = None) -> m.KeyMade:
        """Another key that may the same; the old one opens for some hours more."""
        return cast('m.KeyMade', await self.call(Call("POST", f"/v1/api-keys/{quoted(key_id)}/rotate", {}, key=key, body=body, kinds=('application/json',))))

    async def shelve_alarm(self, alarm: int, body: m.ShelveIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Put it away for a time that its rule allows; it comes back by itself."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/shelve", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def stage_configuration(self, gateway: str, body: m.AssignmentIn, *, key: str | None = None) -> m.AssignmentDetail:
        """Have a gateway get a version; it checks it, tries it, and says what became of it.

        What was staged for it before and is not in force yet is superseded. To go back, stage a former
        version.
        """
        return cast('m.AssignmentDetail', await self.call(Call("POST", f"/v1/gateways/{quoted(gateway)}/configuration/assignments", {}, key=key, body=body, kinds=('application/json',))))

    async def start_job(self, body: m.JobIn | bytes, *, name: str | None = None, llm: bool | None = None, key: str | None = None) -> m.JobOut:
        """Map the points of sites (JSON), or of a list of at most 32 MiB (CSV with `point_name`).

        Or those that EnOS Edges find (JSON with `edges`): they ask the devices of a building.

        The answer comes at once; GET /v1/jobs/{job} tells how far it has come, and its rows can be
        read meanwhile.
        """
        return cast('m.JobOut', await self.call(Call("POST", "/v1/jobs", {'name': name, 'llm': llm}, key=key, body=body, kinds=('application/json', 'text/csv'))))

    async def switch_feature(self, feature: str, body: m.FeatureIn, *, if_match: str | None = None, key: str | None = None) -> m.FeatureOut:
        """Switch a feature on or off for the company; it holds from the next act on."""
        return cast('m.FeatureOut', await self.call(Call("PUT", f"/v1/features/{quoted(feature)}", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))

    async def try_governance_rule(self, site: int, body: m.RuleIn, *, key: str | None = None) -> m.TryOut:
        """What a rule would find at a site; nothing is entered."""
        return cast('m.TryOut', await self.call(Call("POST", f"/v1/governance/sites/{quoted(site)}/try", {}, key=key, body=body, kinds=('application/json',))))

    async def try_webhook(self, webhook: int, *, key: str | None = None) -> m.ReplayOut:
        """Send a message of the kind `webhook.test`; its fate is among the deliveries."""
        return cast('m.ReplayOut', await self.call(Call("POST", f"/v1/webhooks/{quoted(webhook)}/test", {}, key=key)))

    async def unlink_identity(self, identity: int, *, key: str | None = None) -> m.IdentityDoneOut:
        """It leads to my account no more; sessions that it began go on until they are ended."""
        return cast('m.IdentityDoneOut', await self.call(Call("DELETE", f"/v1/me/identities/{quoted(identity)}", {}, key=key)))

    async def unshelve_alarm(self, alarm: int, body: m.AlarmNoteIn, *, if_match: str | None = None, key: str | None = None) -> m.AlarmItem:
        """Bring it back now."""
        return cast('m.AlarmItem', await self.call(Call("POST", f"/v1/alarms/{quoted(alarm)}/unshelve", {}, if_match=if_match, key=key, body=body, kinds=('application/json',))))
