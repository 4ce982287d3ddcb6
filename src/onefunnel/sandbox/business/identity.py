"""Who is who on a day: survivors of merges, the person behind a lead, a contact, an address, a browser."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from onefunnel.sandbox.business.log import Fields, Log, Touch


def survivor(records: Mapping[str, Fields], key: str) -> str:
    """The record that is left of `key` after every merge."""
    while (into := records[key].get("merged_into_id")) is not None:
        assert isinstance(into, str)  # noqa: S101
        key = into
    return key


def folded(email: str) -> str:
    """An address as it is compared: trimmed, without regard to case and width."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


@dataclass(frozen=True)
class Identity:
    """The people and accounts that the log shows before second `until`.

    A person is named `contact:<id>` or, while there is no contact, `lead:<id>`.
    """

    log: Log
    until: int

    @cached_property
    def leads(self) -> dict[str, Fields]:
        """The leads as they stand."""
        return self.log.states("leads", self.until)

    @cached_property
    def contacts(self) -> dict[str, Fields]:
        """The contacts as they stand."""
        return self.log.states("contacts", self.until)

    @cached_property
    def accounts(self) -> dict[str, Fields]:
        """The accounts as they stand."""
        return self.log.states("accounts", self.until)

    def person_of_lead(self, lead_id: str) -> str | None:
        """The person behind a lead; None for a lead that is not there yet."""
        if lead_id not in self.leads:
            return None
        lead_id = survivor(self.leads, lead_id)
        contact_id = self.leads[lead_id]["converted_contact_id"]
        return f"lead:{lead_id}" if contact_id is None else self.person_of_contact(str(contact_id))

    def person_of_contact(self, contact_id: str) -> str | None:
        """The person behind a contact."""
        return f"contact:{survivor(self.contacts, contact_id)}" if contact_id in self.contacts else None

    def account(self, account_id: object) -> str | None:
        """The account that is left of an account; None for one that nobody knows."""
        return (
            survivor(self.accounts, account_id) if isinstance(account_id, str) and account_id in self.accounts else None
        )

    def account_of_person(self, person: str | None) -> str | None:
        """The account of a person; a lead that was never converted has none."""
        if person is None or not person.startswith("contact:"):
            return None
        return self.account(self.contacts[person.removeprefix("contact:")]["account_id"])

    @cached_property
    def people_by_email(self) -> dict[str, str]:
        """Address (folded) -> person.

        Raises:
            AssertionError: an address belongs to two people; the simulation never lets that happen.
        """
        found: dict[str, str] = {}
        known = [(self.person_of_lead(key), fields["email"]) for key, fields in self.leads.items()]
        known += [(self.person_of_contact(key), fields["email"]) for key, fields in self.contacts.items()]
        for person, email in known:
            if email is not None and person is not None:
                assert found.setdefault(folded(str(email)), person) == person  # noqa: S101
        return found

    def _named(self, touch: Touch) -> str | None:
        """The person that a touch itself names."""
        person = self.person_of_contact(touch.contact_id) if touch.contact_id else None
        person = person or (self.person_of_lead(touch.lead_id) if touch.lead_id else None)
        return person or (self.people_by_email.get(folded(touch.email)) if touch.email else None)

    @cached_property
    def touches(self) -> list[Touch]:
        """The touches so far, in order of time."""
        return sorted(
            (t for t in self.log.touches if t.at_ms < self.until * 1_000), key=lambda t: (t.at_ms, t.touch_id)
        )

    @cached_property
    def people_by_visitor(self) -> dict[str, str]:
        """Browser -> the person who filled a form in it.

        Raises:
            AssertionError: two people used one browser; the simulation never lets that happen.
        """
        found: dict[str, str] = {}
        for touch in self.touches:
            if touch.touch_type == "form" and touch.visitor_id is not None:
                person = self._named(touch)
                if person is not None:
                    assert found.setdefault(touch.visitor_id, person) == person  # noqa: S101
        return found

    def person(self, touch: Touch) -> str | None:
        """The person behind a touch: by id, else by address, else by browser."""
        return self._named(touch) or self.people_by_visitor.get(touch.visitor_id or "")
