"""What is next of an e-mail, in words for whoever looks at the list of e-mails."""

from django.utils import timezone

from billing.texts import long_moment

from ..models import Email
from . import doubts
from .addressing import UNATTENDED, UNCONFIRMED
from .refusals import TOO_LARGE

State = Email.State

OF_REFUSED = {
    Email.Role.PI: "Correct the address of the PI, then generate and send the statements again. If it is right, press "
    "Send again.",
    Email.Role.CONTACT: "Correct the department contact of the PI, and the next run sends it. If the address is right, "
    "press Send again.",
    Email.Role.DELEGATE: "Correct the address of the delegate's account, and the next run sends it. If it is right, "
    "press Send again.",
}
OF_WAITING = {
    UNCONFIRMED: "Confirm the PI. The next run sends it.",
    UNATTENDED: "Look at the address, and send the month from the page of the statements.",
}
OF_STATE = {
    State.WRITTEN: "Send it from the page of the statements once e-mail is configured.",
    State.REDIRECTED: "It goes to its recipient with the first run after test mode.",
    State.UNCERTAIN: "Ask the recipient, or look in the mail server's log. Then press Send again, or say what became "
    "of it.",
    State.FAILED: "See that the mail server works. The next run tries it, or press Send again.",
}


def what_next(email: Email) -> str:
    """Say what is next of an e-mail, and who does it; empty where nothing is."""
    state = State(email.state)
    if state == State.CLAIMED and doubts.was_left(email):
        state = State.UNCERTAIN
    if email.try_again_at and state in Email.TO_SEND:
        at = long_moment(timezone.localtime(email.try_again_at))
        return f"The worker tries it again at {at}. There is nothing to do."
    if state == State.QUEUED:
        return OF_WAITING.get(email.error, "The next run sends it.")
    if state == State.REFUSED and f" {TOO_LARGE} " in email.error:
        return "Lower “Largest e-mail” in the policy to what the mail server takes, then press Send again."
    if state == State.REFUSED:
        return OF_REFUSED[Email.Role(email.role)]
    if state == State.DROPPED:
        return "If its PI should get it all the same, press Send again." if email.is_small else ""
    return OF_STATE.get(state, "")
