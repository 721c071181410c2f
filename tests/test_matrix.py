"""Every role against every address, action, task and command, with the outcome written down.

What is new and has no row here fails: whoever adds it says who may.
"""

import datetime
import io
import itertools
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError
from django.db import transaction
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone

from billing import questions, tasks
from billing.background import jobs
from billing.commands import BillingCommand, subparsers_of
from billing.files import received
from billing.models import (
    Allocation,
    ApiToken,
    AttributionRule,
    AuditEvent,
    BillingPeriod,
    Charge,
    CloudAccount,
    Disposal,
    ExchangeRate,
    FundException,
    Import,
    ImportedFile,
    ImportTotal,
    InvoiceTotal,
    Job,
    Membership,
    Person,
    PricedMonth,
    Project,
    Question,
    RateClassMember,
    RateSchedule,
    RateStudy,
    SavedView,
    SharedCost,
    Source,
    StoredFile,
    UsageFeed,
    UsageFile,
    UsageSubsidy,
    User,
)
from billing.months import closing
from billing.usage import trying
from journals import layouts, lookups, posting, receivables, valid_values
from journals.formats.layouts import preset_named
from journals.models import (
    AccountingPeriod,
    AccountRule,
    AnswerMapping,
    Journal,
    JournalLayout,
    JournalTemplate,
    ReceivablesExport,
)
from statements import emails, issuing
from statements.models import Email, Statement
from statements.questions import lines
from tests import build, standing
from tests.billing.usage.schedules import a_version

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

# The columns below: somebody not signed in, Ada, her delegate, another PI, and staff by role.
PEOPLE = ("nobody", "pi", "delegate", "stranger", "viewer", "reviewer", "finance", "admin")
STAFF = PEOPLE[4:]

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}

# Addresses: what a GET comes to, and a POST without a word in it, by column of PEOPLE.
#   o  a page or file      x  403      -  404      m  405, not asked this way
#   i  asked to sign in, or sent home where that is done
#   k  401, a token is asked for: whoever is signed in (with one: tests/statements/test_api.py)
#   >  led on: a POST was done, or there is nothing to show here
ADDRESSES = """
i>>> >>>>  i>>> >>>>
i>>> >>>>  i>>> >>>>  admin/login/
iooo oooo  iooo oooo  admin/password_change/
iiii xxxo  iiii mmmm  admin/system/
iiii xxxo  iiii mmmm  admin/system/sbom.json
iiii oooo  iiii oooo  admin/search/
iiii oooo  iiii oooo  admin/trends/
iiii oooo  iiii oooo  admin/reports/
iiii mmmm  iiii >>>>  admin/dismiss/
iiii oooo  iiii oooo  admin/
>>>> mmmm  >>>> iiii  admin/logout/
iiii oooo  iiii mmmm  admin/password_change/done/
iiii xooo  iiii mmmm  admin/autocomplete/
iiii oooo  iiii mmmm  admin/jsi18n/
iiii ----  iiii ----  admin/r/<path:content_type_id>/<path:object_id>/
iiii xxxo  iiii xxx>  admin/billing/apitoken/<path:object_id>/revoke/
iiii xxxo  iiii xxxo  admin/billing/apitoken/
iiii xxxo  iiii xxxo  admin/billing/apitoken/add/
iiii xxx>  iiii xxx>  admin/billing/apitoken/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/apitoken/<path:object_id>/delete/
iiii xxxo  iiii xxxx  admin/billing/apitoken/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/apitoken/<path:object_id>/
iiii xooo  iiii xooo  admin/billing/correction/enter/
iiii xooo  iiii xooo  admin/billing/correction/manual/
iiii xxoo  iiii xxo>  admin/billing/correction/<path:object_id>/approve/
iiii xxoo  iiii xxoo  admin/billing/correction/<path:object_id>/reject/
iiii xooo  iiii xooo  admin/billing/correction/<path:object_id>/reverse/
iiii oooo  iiii oooo  admin/billing/correction/
iiii xxxx  iiii xxxx  admin/billing/correction/add/
iiii >>>>  iiii >>>>  admin/billing/correction/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/correction/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/correction/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/correction/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/rateclassmember/
iiii xxoo  iiii xxoo  admin/billing/rateclassmember/add/
iiii >>>>  iiii >>>>  admin/billing/rateclassmember/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/rateclassmember/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/rateclassmember/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/rateclassmember/<path:object_id>/
iiii xxoo  iiii xxoo  admin/billing/allocation/purchase/
iiii xooo  iiii xooo  admin/billing/allocation/<path:object_id>/recognize/
iiii xooo  iiii xooo  admin/billing/allocation/<path:object_id>/refund/
iiii xooo  iiii xooo  admin/billing/allocation/<path:object_id>/expire/
iiii oooo  iiii oooo  admin/billing/allocation/
iiii xxoo  iiii xxoo  admin/billing/allocation/add/
iiii >>>>  iiii >>>>  admin/billing/allocation/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/allocation/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/allocation/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/allocation/<path:object_id>/
iiii xooo  iiii xooo  admin/billing/import/upload/
iiii oooo  iiii mmmm  admin/billing/import/<int:number>/file/<int:place>/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/apply/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/book/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/apply_keeping/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/book_keeping/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/apply_replacing/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/book_replacing/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/dismiss/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/again/
iiii xooo  iiii xooo  admin/billing/import/<path:object_id>/move/
iiii xooo  iiii x>>>  admin/billing/import/<path:object_id>/withdraw/
iiii oooo  iiii oooo  admin/billing/import/
iiii xxxx  iiii xxxx  admin/billing/import/add/
iiii >>>>  iiii >>>>  admin/billing/import/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/import/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/import/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/import/<path:object_id>/
iiii xx>>  iiii xx>>  admin/billing/usagefeed/<path:object_id>/columns/
iiii xooo  iiii xooo  admin/billing/usagefeed/<path:object_id>/price/
iiii oooo  iiii oooo  admin/billing/usagefeed/
iiii xxoo  iiii xxoo  admin/billing/usagefeed/add/
iiii >>>>  iiii >>>>  admin/billing/usagefeed/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/usagefeed/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/usagefeed/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/usagefeed/<path:object_id>/
iiii xooo  iiii xooo  admin/billing/usagefile/read/
iiii xooo  iiii xooo  admin/billing/usagefile/<path:object_id>/withdraw/
iiii oooo  iiii oooo  admin/billing/usagefile/
iiii xxxx  iiii xxxx  admin/billing/usagefile/add/
iiii >>>>  iiii >>>>  admin/billing/usagefile/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/usagefile/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/usagefile/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/usagefile/<path:object_id>/
iiii xooo  iiii x>>>  admin/billing/pricedmonth/<path:object_id>/again/
iiii oooo  iiii oooo  admin/billing/pricedmonth/
iiii xxxx  iiii xxxx  admin/billing/pricedmonth/add/
iiii >>>>  iiii >>>>  admin/billing/pricedmonth/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/pricedmonth/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/pricedmonth/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/pricedmonth/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/rateschedule/<int:number>/export/<slug:form>/
iiii oooo  iiii oooo  admin/billing/rateschedule/<int:number>/try/
iiii >>>>  iiii >>>>  admin/billing/rateschedule/<int:number>/tried.<slug:form>
iiii xxoo  iiii xxoo  admin/billing/rateschedule/load/
iiii xxoo  iiii xxoo  admin/billing/rateschedule/<int:number>/edit/
iiii xxoo  iiii xx>>  admin/billing/rateschedule/<path:object_id>/release/
iiii xxoo  iiii xxoo  admin/billing/rateschedule/<path:object_id>/retire/
iiii xxoo  iiii xx>>  admin/billing/rateschedule/<path:object_id>/discard/
iiii oooo  iiii oooo  admin/billing/rateschedule/
iiii xxoo  iiii xxoo  admin/billing/rateschedule/add/
iiii >>>>  iiii >>>>  admin/billing/rateschedule/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/rateschedule/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/rateschedule/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/rateschedule/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/ratestudy/<int:number>/study.xlsx
iiii oooo  iiii oooo  admin/billing/ratestudy/<int:number>/study.pdf
iiii xxoo  iiii xxoo  admin/billing/ratestudy/<path:object_id>/adopt/
iiii oooo  iiii oooo  admin/billing/ratestudy/
iiii xxoo  iiii xxoo  admin/billing/ratestudy/add/
iiii >>>>  iiii >>>>  admin/billing/ratestudy/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/ratestudy/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/ratestudy/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/ratestudy/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/sharedcost/
iiii xxoo  iiii xxoo  admin/billing/sharedcost/add/
iiii >>>>  iiii >>>>  admin/billing/sharedcost/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/sharedcost/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/sharedcost/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/sharedcost/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/usagesubsidy/try/<slug:key>/
iiii >>>>  iiii >>>>  admin/billing/usagesubsidy/try/<slug:key>/tried.<slug:form>
iiii oooo  iiii oooo  admin/billing/usagesubsidy/
iiii xxoo  iiii xxoo  admin/billing/usagesubsidy/add/
iiii >>>>  iiii >>>>  admin/billing/usagesubsidy/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/usagesubsidy/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/usagesubsidy/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/usagesubsidy/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/attributionrule/try/<slug:key>/
iiii mmmm  iiii >>>>  admin/billing/attributionrule/export/
iiii xooo  iiii xooo  admin/billing/attributionrule/load/
iiii oooo  iiii oooo  admin/billing/attributionrule/
iiii xooo  iiii xooo  admin/billing/attributionrule/add/
iiii >>>>  iiii >>>>  admin/billing/attributionrule/<path:object_id>/history/
iiii xooo  iiii xooo  admin/billing/attributionrule/<path:object_id>/delete/
iiii oooo  iiii xooo  admin/billing/attributionrule/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/attributionrule/<path:object_id>/
iiii mmmm  iiii >>>>  admin/billing/cloudaccount/export/
iiii xooo  iiii xooo  admin/billing/cloudaccount/load/
iiii oooo  iiii oooo  admin/billing/cloudaccount/
iiii xooo  iiii xooo  admin/billing/cloudaccount/add/
iiii >>>>  iiii >>>>  admin/billing/cloudaccount/<path:object_id>/history/
iiii xooo  iiii xooo  admin/billing/cloudaccount/<path:object_id>/delete/
iiii oooo  iiii xooo  admin/billing/cloudaccount/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/cloudaccount/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/auditevent/
iiii xxxx  iiii xxxx  admin/billing/auditevent/add/
iiii >>>>  iiii >>>>  admin/billing/auditevent/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/auditevent/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/auditevent/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/auditevent/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/charge/why/
iiii oooo  iiii oooo  admin/billing/charge/resource/<slug:source>/<int:number>/
iiii mmmm  iiii >>>>  admin/billing/charge/export/
iiii mmmm  iiii >>>>  admin/billing/charge/views/save/
iiii mmmm  iiii x>>>  admin/billing/charge/views/<int:number>/delete/
iiii >>>>  iiii >>>>  admin/billing/charge/<int:number>/<str:way>/of-list/
iiii xooo  iiii xooo  admin/billing/charge/<path:object_id>/approve/
iiii xooo  iiii xooo  admin/billing/charge/<path:object_id>/correct/
iiii xooo  iiii xooo  admin/billing/charge/<path:object_id>/reject/
iiii xooo  iiii x>>>  admin/billing/charge/<path:object_id>/charge_to_center/
iiii xooo  iiii xooo  admin/billing/charge/<path:object_id>/undo/
iiii oooo  iiii oooo  admin/billing/charge/
iiii xxxx  iiii xxxx  admin/billing/charge/add/
iiii >>>>  iiii >>>>  admin/billing/charge/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/charge/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/charge/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/charge/<path:object_id>/
iiii xxxx  iiii xxxx  admin/billing/heldcharge/suggest/
iiii mmmm  iiii x>>>  admin/billing/heldcharge/decide/
iiii xooo  iiii xooo  admin/billing/heldcharge/export/
iiii xooo  iiii xooo  admin/billing/heldcharge/apply/
iiii oooo  iiii oooo  admin/billing/heldcharge/
iiii xxxx  iiii xxxx  admin/billing/heldcharge/add/
iiii >>>>  iiii >>>>  admin/billing/heldcharge/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/heldcharge/<path:object_id>/delete/
iiii >>>>  iiii >>>>  admin/billing/heldcharge/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/heldcharge/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/customer/
iiii xxoo  iiii xxoo  admin/billing/customer/add/
iiii >>>>  iiii >>>>  admin/billing/customer/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/customer/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/customer/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/customer/<path:object_id>/
iiii mmmm  iiii >>>>  admin/billing/department/export/
iiii xooo  iiii xooo  admin/billing/department/load/
iiii oooo  iiii oooo  admin/billing/department/
iiii xooo  iiii xooo  admin/billing/department/add/
iiii >>>>  iiii >>>>  admin/billing/department/<path:object_id>/history/
iiii xooo  iiii xooo  admin/billing/department/<path:object_id>/delete/
iiii oooo  iiii xooo  admin/billing/department/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/department/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/exchangerate/
iiii xxoo  iiii xxoo  admin/billing/exchangerate/add/
iiii >>>>  iiii >>>>  admin/billing/exchangerate/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/exchangerate/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/exchangerate/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/exchangerate/<path:object_id>/
iiii mmmm  iiii >>>>  admin/billing/fundingsource/export/
iiii xxoo  iiii xxoo  admin/billing/fundingsource/load/
iiii xxoo  iiii xxoo  admin/billing/fundingsource/<path:object_id>/except/
iiii xxoo  iiii xx>>  admin/billing/fundingsource/<path:object_id>/revoke/
iiii oooo  iiii oooo  admin/billing/fundingsource/
iiii xxoo  iiii xxoo  admin/billing/fundingsource/add/
iiii >>>>  iiii >>>>  admin/billing/fundingsource/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/fundingsource/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/fundingsource/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/fundingsource/<path:object_id>/
iiii ----  iiii ----  admin/billing/job/<int:job_id>/download/
iiii xooo  iiii x>>>  admin/billing/job/<path:object_id>/retry/
iiii xooo  iiii x>>>  admin/billing/job/<path:object_id>/cancel/
iiii oooo  iiii oooo  admin/billing/job/
iiii xxxx  iiii xxxx  admin/billing/job/add/
iiii >>>>  iiii >>>>  admin/billing/job/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/job/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/job/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/job/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/payerline/
iiii xxxx  iiii xxxx  admin/billing/payerline/add/
iiii >>>>  iiii >>>>  admin/billing/payerline/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/payerline/<path:object_id>/delete/
iiii >>>>  iiii >>>>  admin/billing/payerline/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/payerline/<path:object_id>/
iiii mmmm  iiii >>>>  admin/billing/person/export/
iiii xooo  iiii xooo  admin/billing/person/load/
iiii xooo  iiii x>>>  admin/billing/person/<path:object_id>/confirm/
iiii oooo  iiii oooo  admin/billing/person/
iiii xooo  iiii xooo  admin/billing/person/add/
iiii >>>>  iiii >>>>  admin/billing/person/<path:object_id>/history/
iiii xooo  iiii xooo  admin/billing/person/<path:object_id>/delete/
iiii oooo  iiii xooo  admin/billing/person/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/person/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/invoicetotal/
iiii xxoo  iiii xxoo  admin/billing/invoicetotal/add/
iiii >>>>  iiii >>>>  admin/billing/invoicetotal/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/billing/invoicetotal/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/invoicetotal/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/invoicetotal/<path:object_id>/
iiii xooo  iiii xooo  admin/billing/billingperiod/open/
iiii oooo  iiii >>>>  admin/billing/billingperiod/<path:object_id>/proof/
iiii xooo  iiii x>>>  admin/billing/billingperiod/<path:object_id>/reapply/
iiii xooo  iiii xooo  admin/billing/billingperiod/<path:object_id>/review/
iiii xxoo  iiii xx>>  admin/billing/billingperiod/<path:object_id>/carry/
iiii xxoo  iiii xxoo  admin/billing/billingperiod/<path:object_id>/close/
iiii xxoo  iiii xxoo  admin/billing/billingperiod/<path:object_id>/reopen/
iiii xxoo  iiii xxoo  admin/billing/billingperiod/<path:object_id>/finalize/
iiii xxoo  iiii xx>>  admin/billing/billingperiod/<path:object_id>/recount/
iiii xooo  iiii x>>>  admin/billing/billingperiod/<path:object_id>/remove/
iiii oooo  iiii oooo  admin/billing/billingperiod/
iiii xxxx  iiii xxxx  admin/billing/billingperiod/add/
iiii >>>>  iiii >>>>  admin/billing/billingperiod/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/billingperiod/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/billingperiod/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/billingperiod/<path:object_id>/
iiii xxoo  iiii xxoo  admin/billing/policy/edit/
iiii xxoo  iiii xxoo  admin/billing/policy/logo/
iiii oooo  iiii oooo  admin/billing/policy/
iiii xxxx  iiii xxxx  admin/billing/policy/add/
iiii >>>>  iiii >>>>  admin/billing/policy/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/policy/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/policy/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/policy/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/project/<int:number>/try-split/
iiii mmmm  iiii >>>>  admin/billing/project/export/
iiii xooo  iiii xooo  admin/billing/project/load/
iiii oooo  iiii oooo  admin/billing/project/
iiii xooo  iiii xooo  admin/billing/project/add/
iiii >>>>  iiii >>>>  admin/billing/project/<path:object_id>/history/
iiii xooo  iiii xooo  admin/billing/project/<path:object_id>/delete/
iiii oooo  iiii xooo  admin/billing/project/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/project/<path:object_id>/
iiii xooo  iiii x>>>  admin/billing/question/<path:object_id>/apply/
iiii xxoo  iiii xx>>  admin/billing/question/<path:object_id>/approve_move/
iiii xxoo  iiii xxoo  admin/billing/question/<path:object_id>/decline_move/
iiii xooo  iiii xooo  admin/billing/question/<path:object_id>/reply/
iiii xooo  iiii xooo  admin/billing/question/<path:object_id>/leave/
iiii xooo  iiii xooo  admin/billing/question/<path:object_id>/charge_as_it_is/
iiii xooo  iiii xooo  admin/billing/question/<path:object_id>/reject/
iiii oooo  iiii oooo  admin/billing/question/
iiii xxxx  iiii xxxx  admin/billing/question/add/
iiii >>>>  iiii >>>>  admin/billing/question/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/question/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/billing/question/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/question/<path:object_id>/
iiii xxoo  iiii xxoo  admin/billing/legalhold/<path:object_id>/lift/
iiii xxoo  iiii xxoo  admin/billing/legalhold/
iiii xxoo  iiii xxoo  admin/billing/legalhold/add/
iiii xx>>  iiii xx>>  admin/billing/legalhold/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/legalhold/<path:object_id>/delete/
iiii xxoo  iiii xxxx  admin/billing/legalhold/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/legalhold/<path:object_id>/
iiii xxoo  iiii mmmm  admin/billing/disposal/<int:number>/certificate/
iiii xxoo  iiii xxoo  admin/billing/disposal/
iiii xxxx  iiii xxxx  admin/billing/disposal/add/
iiii xx>>  iiii xx>>  admin/billing/disposal/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/disposal/<path:object_id>/delete/
iiii xxoo  iiii xxxx  admin/billing/disposal/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/disposal/<path:object_id>/
iiii oooo  iiii oooo  admin/billing/source/
iiii xxoo  iiii xxoo  admin/billing/source/add/
iiii >>>>  iiii >>>>  admin/billing/source/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/source/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/billing/source/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/source/<path:object_id>/
iiii xxxo  iiii xxx>  admin/billing/user/<path:object_id>/password-link/
iiii xxxo  iiii xxxo  admin/billing/user/
iiii xxxo  iiii xxxo  admin/billing/user/add/
iiii xxx>  iiii xxx>  admin/billing/user/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/billing/user/<path:object_id>/delete/
iiii xxxo  iiii xxxo  admin/billing/user/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/billing/user/<path:object_id>/
iiii xxxo  iiii xxxo  admin/auth/group/
iiii xxxx  iiii xxxx  admin/auth/group/add/
iiii xxx>  iiii xxx>  admin/auth/group/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/auth/group/<path:object_id>/delete/
iiii xxxo  iiii xxxx  admin/auth/group/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/auth/group/<path:object_id>/
iiii xxoo  iiii xxoo  admin/statements/email/texts/
iiii ----  iiii ----  admin/statements/email/preview/<str:name>/
iiii oooo  iiii oooo  admin/statements/email/<int:pk>/message/
iiii oooo  iiii oooo  admin/statements/email/<int:pk>/message/html/
iiii oooo  iiii oooo  admin/statements/email/<int:pk>/message/files/<int:number>/
iiii xooo  iiii xooo  admin/statements/email/<path:object_id>/resend/
iiii xooo  iiii xooo  admin/statements/email/<path:object_id>/settle/
iiii oooo  iiii oooo  admin/statements/email/
iiii xxxx  iiii xxxx  admin/statements/email/add/
iiii >>>>  iiii >>>>  admin/statements/email/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/statements/email/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/statements/email/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/statements/email/<path:object_id>/
iiii xooo  iiii xooo  admin/statements/statement/generate/
iiii xooo  iiii x>>>  admin/statements/statement/send/
iiii mmmm  iiii >>>>  admin/statements/statement/export/
iiii oooo  iiii oooo  admin/statements/statement/<int:pk>/pdf/
iiii oooo  iiii oooo  admin/statements/statement/<int:pk>/charges.csv
iiii xxoo  iiii xxoo  admin/statements/statement/<path:object_id>/void/
iiii oooo  iiii oooo  admin/statements/statement/
iiii xxxx  iiii xxxx  admin/statements/statement/add/
iiii >>>>  iiii >>>>  admin/statements/statement/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/statements/statement/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/statements/statement/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/statements/statement/<path:object_id>/
iiii mmmm  iiii >>>>  admin/journals/accountrule/export/
iiii xxoo  iiii xxoo  admin/journals/accountrule/load/
iiii oooo  iiii oooo  admin/journals/accountrule/
iiii xxoo  iiii xxoo  admin/journals/accountrule/add/
iiii >>>>  iiii >>>>  admin/journals/accountrule/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/journals/accountrule/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/journals/accountrule/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/accountrule/<path:object_id>/
iiii oooo  iiii oooo  admin/journals/answermapping/
iiii xxoo  iiii xxoo  admin/journals/answermapping/add/
iiii >>>>  iiii >>>>  admin/journals/answermapping/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/journals/answermapping/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/journals/answermapping/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/answermapping/<path:object_id>/
iiii xxoo  iiii xxoo  admin/journals/accountingperiod/year/
iiii xxoo  iiii xxoo  admin/journals/accountingperiod/load/
iiii oooo  iiii oooo  admin/journals/accountingperiod/
iiii xxoo  iiii xxoo  admin/journals/accountingperiod/add/
iiii >>>>  iiii >>>>  admin/journals/accountingperiod/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/journals/accountingperiod/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/journals/accountingperiod/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/accountingperiod/<path:object_id>/
iiii xooo  iiii xooo  admin/journals/journal/export/
iiii xooo  iiii xooo  admin/journals/journal/accrue/
iiii xxoo  iiii xxoo  admin/journals/journal/answers/
iiii mmmm  iiii >>>>  admin/journals/journal/list/
iiii xooo  iiii xooo  admin/journals/journal/<int:journal_id>/preflight.<str:form>
iiii xooo  iiii xooo  admin/journals/journal/<int:journal_id>/file/
iiii xxoo  iiii xxoo  admin/journals/journal/<path:object_id>/submit/
iiii xxoo  iiii xxoo  admin/journals/journal/<path:object_id>/acknowledge/
iiii xooo  iiii x>>>  admin/journals/journal/<path:object_id>/redraft/
iiii xxoo  iiii xxoo  admin/journals/journal/<path:object_id>/posted/
iiii xxoo  iiii xxoo  admin/journals/journal/<path:object_id>/rejected/
iiii xxoo  iiii xxoo  admin/journals/journal/<path:object_id>/reverse/
iiii oooo  iiii oooo  admin/journals/journal/
iiii xxxx  iiii xxxx  admin/journals/journal/add/
iiii >>>>  iiii >>>>  admin/journals/journal/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/journals/journal/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/journals/journal/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/journal/<path:object_id>/
iiii xxoo  iiii xxoo  admin/journals/journallayout/new/
iiii oooo  iiii oooo  admin/journals/journallayout/<int:layout_id>/json/
iiii xxoo  iiii xxoo  admin/journals/journallayout/<path:object_id>/settings/
iiii xxoo  iiii xxoo  admin/journals/journallayout/<path:object_id>/edit/
iiii xxoo  iiii xx>>  admin/journals/journallayout/<path:object_id>/release/
iiii xxoo  iiii xxoo  admin/journals/journallayout/<path:object_id>/copy/
iiii xxoo  iiii xx>>  admin/journals/journallayout/<path:object_id>/retire/
iiii xxoo  iiii xx>>  admin/journals/journallayout/<path:object_id>/discard/
iiii oooo  iiii oooo  admin/journals/journallayout/
iiii xxxx  iiii xxxx  admin/journals/journallayout/add/
iiii >>>>  iiii >>>>  admin/journals/journallayout/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/journals/journallayout/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/journals/journallayout/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/journallayout/<path:object_id>/
iiii xxoo  iiii xxoo  admin/journals/lookuptable/load/
iiii xxoo  iiii xx>>  admin/journals/lookuptable/<path:object_id>/remove/
iiii oooo  iiii oooo  admin/journals/lookuptable/
iiii xxxx  iiii xxxx  admin/journals/lookuptable/add/
iiii >>>>  iiii >>>>  admin/journals/lookuptable/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/journals/lookuptable/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/journals/lookuptable/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/lookuptable/<path:object_id>/
iiii xooo  iiii xooo  admin/journals/receivablesexport/export/
iiii xooo  iiii xooo  admin/journals/receivablesexport/<int:export_id>/file.<str:form>
iiii xxoo  iiii xx>>  admin/journals/receivablesexport/<path:object_id>/submit/
iiii xooo  iiii x>>>  admin/journals/receivablesexport/<path:object_id>/redraft/
iiii oooo  iiii oooo  admin/journals/receivablesexport/
iiii xxxx  iiii xxxx  admin/journals/receivablesexport/add/
iiii >>>>  iiii >>>>  admin/journals/receivablesexport/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/journals/receivablesexport/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/journals/receivablesexport/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/receivablesexport/<path:object_id>/
iiii oooo  iiii oooo  admin/journals/journaltemplate/
iiii xxoo  iiii xxoo  admin/journals/journaltemplate/add/
iiii >>>>  iiii >>>>  admin/journals/journaltemplate/<path:object_id>/history/
iiii xxoo  iiii xxoo  admin/journals/journaltemplate/<path:object_id>/delete/
iiii oooo  iiii xxoo  admin/journals/journaltemplate/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/journaltemplate/<path:object_id>/
iiii xxoo  iiii xxoo  admin/journals/validvaluelist/load/
iiii xxoo  iiii xx>>  admin/journals/validvaluelist/<path:object_id>/remove/
iiii oooo  iiii oooo  admin/journals/validvaluelist/
iiii xxxx  iiii xxxx  admin/journals/validvaluelist/add/
iiii >>>>  iiii >>>>  admin/journals/validvaluelist/<path:object_id>/history/
iiii xxxx  iiii xxxx  admin/journals/validvaluelist/<path:object_id>/delete/
iiii oooo  iiii xxxx  admin/journals/validvaluelist/<path:object_id>/change/
iiii >>>>  iiii >>>>  admin/journals/validvaluelist/<path:object_id>/
iiii oooo  iiii oooo  admin/^(?P<app_label>billing|auth|statements|journals)/$
iiii ----  iiii ----  admin/(?P<url>.*)$
oooo oooo  oooo oooo  accounts/login/
---- ----  mmmm mmmm  accounts/oidc/
---- ----  mmmm mmmm  accounts/oidc/callback/
iooo oooo  iooo oooo  accounts/password_change/
oooo oooo  oooo oooo  accounts/password_reset/
oooo oooo  oooo oooo  accounts/reset/<uidb64>/<token>/
mmmm mmmm  iiii iiii  accounts/logout/
iooo oooo  immm mmmm  accounts/password_change/done/
oooo oooo  mmmm mmmm  accounts/password_reset/done/
oooo oooo  mmmm mmmm  accounts/reset/done/
iooo oooo  immm mmmm  help/
iooo oooo  immm mmmm  help/images/<str:name>
iooo oooo  immm mmmm  help/<path:slug>/
iooo oooo  immm mmmm  portal/
iooo oooo  immm mmmm  statements/
ioo- >>>>  immm mmmm  statements/<str:number>/
ioo- ----  immm mmmm  statements/<str:number>.pdf
ioo- ----  immm mmmm  statements/<str:number>.csv
ioo- ----  immm mmmm  statements/<str:number>.xlsx
ioo- ----  immm mmmm  statements/<str:number>/charges.csv
ioo- >>>>  immm mmmm  statements/<str:number>/lines/<int:line>/
iooo oooo  immm mmmm  projects/
ioo- ----  immm mmmm  projects/<int:pk>/
iooo oooo  immm mmmm  trends/
iooo oooo  immm mmmm  funds/
iooo oooo  i>>> >>>>  downloads/
io-- ----  immm mmmm  downloads/<int:pk>/
i>-- ----  immm mmmm  downloads/<int:pk>.xlsx
iooo oooo  io-o ----  delegates/
io-- ----  io-- ----  delegates/<int:pk>/
io-- ----  i>-- ----  delegates/<int:pk>/remove/
ioo- ----  ioo- ----  statements/<str:number>/lines/<int:line>/ask/
ioo- ----  ioo- ----  projects/<int:pk>/propose/
iooo oooo  immm mmmm  questions/
ioo- ----  ioo- ----  questions/<int:pk>/
immm mmmm  i>>- ----  questions/<int:pk>/withdraw/
iooo oooo  immm mmmm  tokens/
iooo oooo  iooo oooo  tokens/make/
io-- ----  i>-- ----  tokens/<int:pk>/revoke/
kkkk kkkk  mmmm mmmm  api/v1/
kkkk kkkk  mmmm mmmm  api/v1/statements
kkkk kkkk  mmmm mmmm  api/v1/statements/<str:number>
kkkk kkkk  mmmm mmmm  api/v1/lines
kkkk kkkk  mmmm mmmm  api/v1/charges
kkkk kkkk  mmmm mmmm  api/v1/usage
---- ----  ---- ----  api
---- ----  ---- ----  api/<path:rest>
---- ----  ---- ----  api/
"""


# Where staff who follow a PI's link are led on.
OF_STAFF_TOO = ("statements/<str:number>/", "statements/<str:number>/lines/<int:line>/")
# What a PI does herself, though she has no permission.
HERS = {
    "pi": {"membership.removed", "question.withdrawn", "charge.released"},
    "delegate": {"question.withdrawn", "charge.released"},
}


class Asking:
    """A request of somebody, as far as a ModelAdmin asks it."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.GET: dict[str, str] = {}
        self.POST: dict[str, str] = {}


@standing.fixture
def house(folder):
    """The cast, and at least one object of every kind in every state that some page asks for."""
    cast = build.the_cast()
    build.a_policy(center_fund_org="RC-000")
    for month in ("2024-09", "2024-10", "2024-11"):
        build.a_charge("10.00", period=month)
        journal = posting.export(period=build.a_period(month), format="gl", **BY).journal
        if month > "2024-09":
            posting.submit(journal=journal, format="gl", **BY)
        if month > "2024-10":
            posting.post(journal=journal, document_number="1", **BY)
    build.a_charge("20.00", period="2024-12", list_cost=Decimal(30))
    closing.close(period=build.a_period("2024-12"), **BY)
    build.a_correction(Charge.objects.get(period__month="2024-12-01"))
    build.a_policy(
        center_fund_org="RC-000", corrections_need_second_person=True, own_domains=["u.edu"], pis_propose=True
    )
    fay = {"actor": build.Actor.from_user(cast.finance)}
    build.a_correction(Charge.objects.get(period__month="2024-11-01"), charged_in=build.a_period("2025-01"), **fay)
    held = build.a_charge(flags=("missing_pi", "pattern_match"))
    build.a_charge("12.50", resource_name="login-node")
    build.a_charge("7.50", pi="mallory@u.edu", project="mischief")
    build.a_charge("1.00", state=Charge.State.APPROVED)
    fund = build.a_fund()
    FundException.objects.create(
        fund=fund, valid_until=datetime.date(2026, 6, 30), reason="Extended", recorded_at=build.NOW
    )
    build.a_split({"BIO-001": "60", "CHEM-2": "40"}, project=held.project)
    ExchangeRate.objects.create(period=held.period, currency="EUR", rate=Decimal("1.1"))
    InvoiceTotal.objects.create(
        source=held.source, period=held.period, currency="USD", amount=Decimal(10), entered_at=build.NOW
    )
    AttributionRule.objects.create(source=held.source, service="*Storage*", fund_org="BIO-001")
    CloudAccount.objects.create(source=held.source, account_id="123", default_pi=held.pi)
    AccountRule.objects.create(service="*Storage*", debit_account="6590")
    JournalTemplate.objects.create(name="bank", line="{{ line.fund_org }}")
    days = {"first_day": datetime.date(2025, 1, 1), "last_day": datetime.date(2025, 1, 31)}
    AccountingPeriod.objects.create(fiscal_year=2025, number=7, **days)
    listed = b"segment,value\nfund_org,BIO-001\n"
    valid_values.load_values(file=io.BytesIO(listed), **BY)
    valid_values.load_values(file=io.BytesIO(b"segment,value\naccount,4900\n"), **BY)
    valid_values.remove(name="fund_org", **BY)
    lookups.load_lookups(file=io.BytesIO(b"table,fund_org,worktag\nw,BIO-001,GR1\n"), **BY)
    lookups.load_lookups(file=io.BytesIO(b"table,account,category\nc,6500,SC1\n"), **BY)
    lookups.remove(name="w", **BY)
    AnswerMapping.objects.create(name="ledger", journal_column="a", document_column="b", reason_column="c")
    content = preset_named("workday-csv").content
    company = {"settings": {"company": "CO_100", "journal_source": "RC"}, **BY}
    layouts.release(layout=layouts.add(name="ledger", content=content, **company), **BY)
    layouts.add(name="ledger", content=content, **company)
    SavedView.objects.create(owner=cast.admin, list="charges", name="No PI", query="payer=no-pi", is_shared=True)
    # Of now: whoever looks at it ends one that no worker took in a week.
    Job.objects.create(kind=Job.Kind.IMPORT, created_at=timezone.now())
    Job.objects.create(kind=Job.Kind.SEND, state="failed", created_at=build.NOW, finished_at=build.NOW)
    ended = {"state": "done", "created_at": build.NOW, "finished_at": build.NOW, "arguments": {"of": "2025-01"}}
    Job.objects.create(kind=Job.Kind.COLLECT, created_by=cast.pi, **ended)
    stored = received.store_chunks([b"BilledCost\n1\n"], now=timezone.now())
    for came_to in ({"state": Import.State.FAILED, "applied_at": None}, {}):
        ImportedFile.objects.create(imported_in=build.an_import(**came_to), file=stored, number=1, name="aws.csv")
    lacks = [{"code": "days", "message": "Days are missing."}]
    for month, doubts in itertools.product(("2024-12", "2025-01"), ([], lacks)):
        deferred = build.an_import(state=Import.State.DEFERRED, applied_at=None, doubts=doubts)
        amounts = {f"{name}_exact": "1" for name in ("billed", "effective", "list", "contracted")}
        stored = {name.replace("exact", "stored"): Decimal(1) for name in amounts}
        ImportTotal.objects.create(
            imported_in=deferred, period=build.a_period(month), currency="USD", rows=1, **amounts, **stored
        )
    _take_usage(held.period, received.store_chunks([b"PAR1"], now=timezone.now()))
    build.a_token(cast.pi)
    issuing.generate(period=held.period, **BY)
    emails.send(period=held.period, **BY)
    _ask(cast)
    _price_usage()
    build.a_pi("guest@elsewhere.org")
    build.a_hold(pi=held.pi)
    build.a_disposal()
    build.a_department("BIO")
    build.a_period("2025-03")
    build.a_pi("eve@acme.example", customer=build.a_customer())
    for month in ("2024-09", "2024-10"):
        build.a_charge("9.00", pi="eve@acme.example", project=None, fund_org="", period=month, source="lab")
        receivables.export(period=build.a_period(month), submit=month == "2024-09", **BY)
    in_doubt = {"state": "uncertain", "claimed_at": build.NOW, "created_at": build.NOW}
    Email.objects.create(period=held.period, pi=held.pi, recipient=held.pi.email, **in_doubt)
    return cast


def _take_usage(period: BillingPeriod, records: StoredFile) -> None:
    """Have a file of usage of a feed be read, and a month of it priced."""
    source = build.a_source("hpc", kind="internal", import_mode=Source.ImportMode.SNAPSHOT)
    feed = UsageFeed.objects.create(name="tiger", source=source, kind="slurm", schedule="hpc")
    schedule = a_version()
    file = UsageFile.objects.create(
        feed=feed,
        name="sacct.txt",
        original_sha256="0" * 64,
        original_size=1,
        records_file=records,
        first=build.NOW,
        last=build.NOW,
        read_at=build.NOW,
    )
    priced = PricedMonth.objects.create(feed=feed, period=period, schedule=schedule, digest="0", priced_at=build.NOW)
    priced.files.set([file])


def _ask(cast) -> None:
    """Have Ada ask about a charge that is held for it, and propose a sponsored award that waits for finance."""
    ada = Person.objects.get(email="ada@u.edu")
    by: dict[str, Any] = {"actor": build.Actor.from_user(cast.pi), "now": timezone.now()}
    charge = build.a_charge("3.00", project="proteins")
    assert charge.project
    Project.objects.filter(code="proteins").update(pi=ada)
    for fund_org in ("GIFT-2", "NSF-3"):
        build.a_fund(fund_org, is_sponsored=fund_org == "NSF-3").projects.add(charge.project)
    issuing.generate(period=charge.period, **BY)
    shown = lines.subject_of(Statement.objects.get(project=charge.project), 1)
    proposed: dict[str, Any] = {"proposed": {"GIFT-2": Decimal(100)}, "text": "The gift pays for this."}
    questions.ask(subject=shown, reason="fund", **proposed, **by)
    proposed = {"proposed": {"NSF-3": Decimal(100)}, "text": "It is the work of the award."}
    day = timezone.localdate()
    asked = questions.propose(pi=ada, project=charge.project, reason="mistake", starts_on=day, **proposed, **by)
    questions.apply(question=asked, actor=build.Actor.from_user(cast.reviewer), now=timezone.now())


def _price_usage() -> None:
    """Have a draft of rates beside the version in force, and everything else that usage is priced with."""
    a_version(released=False)
    given: dict[str, Any] = {"pi": build.a_pi(), "valid_from": datetime.date(2025, 1, 1), "reason": "By contract"}
    RateClassMember.objects.create(rate_class="external", **given)
    Allocation.objects.create(code="startup", amount=Decimal(100), unit="core-hour", **given)
    # Its last month is over, so that everything is offered that may be done with it.
    paid = {"price": Decimal(80), "fund_org": "BIO-001", "deferred_fund_org": "RC-DEF", "deferred_account": "2300"}
    paid |= {"is_prepaid": True, "valid_until": datetime.date(2025, 1, 1)}
    Allocation.objects.create(code="bought", amount=Decimal(100), unit="core-hour", **given, **paid)
    given.pop("pi")
    RateStudy.objects.create(feed=UsageFeed.objects.earliest("pk"), rate="cpu", fiscal_year=2025, created_at=build.NOW)
    SharedCost.objects.create(fiscal_year=2025, name="Engineers", amount=Decimal(100))
    UsageSubsidy.objects.create(code="provost", name="Provost's half", percent=Decimal(50), **given)


def routes(resolver=None, before: str = "") -> list[str]:
    """Return every address of the site as it is written in the code, in the order in which they are tried."""
    found: list[str] = []
    for each in (resolver or get_resolver()).url_patterns:
        route = before + str(each.pattern)
        found += routes(each, route) if isinstance(each, URLResolver) else [route]
    return list(dict.fromkeys(found))


def subject_of(model, root: User, verb: str = "") -> str:
    """Return the key of an object of a screen, one of which the screen offers this verb where there is any."""
    screen = admin.site._registry[model]
    every = screen.get_queryset(Asking(root)).order_by("pk")  # type: ignore[arg-type]
    offered = next((each.offered for each in getattr(screen, "verbs", ()) if each.name == verb), None)
    if model is User:
        every = every.filter(username="ada")
    found = [each for each in every if offered is None or offered(each)]
    assert found, f"no {model.__name__} in a state for {verb}"
    return str(found[0].pk)


def a_trial() -> str:
    """Return the key of a subsidy that is to be tried."""
    return trying.remember(trying.of_subsidy(UsageSubsidy.objects.earliest("pk")))


def address_of(route: str, root: User) -> str:
    """Return an address of this route, of an object that is there; of the portal, of Ada's."""
    theirs = Statement.objects.filter(pi__email="ada@u.edu", period__month="2025-01-01")
    hers = theirs.get(project__code="genomics")
    asked = Question.objects.earliest("pk")
    journal = Journal.objects.exclude(file_path="").earliest("pk")
    email = f"admin/statements/email/{Email.objects.filter(state='sent').earliest('pk').pk}/message/"
    places = {
        "admin/^(?P<app_label>billing|auth|statements|journals)/$": "admin/billing/",
        "admin/(?P<url>.*)$": "admin/nowhere/",
        "admin/r/<path:content_type_id>/<path:object_id>/": f"admin/r/{ContentType.objects.get_for_model(User).pk}/1/",
        "admin/autocomplete/": "admin/autocomplete/?app_label=billing&model_name=membership&field_name=user",
        "admin/billing/charge/resource/<slug:source>/<int:number>/": "admin/billing/charge/resource/aws/"
        f"{Charge.objects.earliest('pk').resource_key}/",
        "admin/billing/charge/views/<int:number>/delete/": "admin/billing/charge/views/"
        f"{SavedView.objects.earliest('pk').pk}/delete/",
        "admin/billing/charge/<int:number>/<str:way>/of-list/": "admin/billing/charge/1/next/of-list/",
        "admin/billing/import/<int:number>/file/<int:place>/": "admin/billing/import/"
        f"{ImportedFile.objects.earliest('pk').imported_in_id}/file/1/",
        "admin/billing/disposal/<int:number>/certificate/": "admin/billing/disposal/"
        f"{Disposal.objects.get().pk}/certificate/",
        "admin/billing/job/<int:job_id>/download/": f"admin/billing/job/{Job.objects.earliest('pk').pk}/download/",
        "admin/statements/statement/<int:pk>/pdf/": f"admin/statements/statement/{hers.pk}/pdf/",
        "admin/statements/statement/<int:pk>/charges.csv": f"admin/statements/statement/{hers.pk}/charges.csv",
        "admin/statements/email/preview/<str:name>/": "admin/statements/email/preview/nothing/",
        "admin/statements/email/<int:pk>/message/": email,
        "admin/statements/email/<int:pk>/message/html/": f"{email}html/",
        "admin/statements/email/<int:pk>/message/files/<int:number>/": f"{email}files/1/",
        "statements/<str:number>/lines/<int:line>/": f"statements/{hers.number}/lines/1/",
        "admin/journals/journal/<int:journal_id>/file/": f"admin/journals/journal/{journal.pk}/file/",
        "admin/journals/journal/<int:journal_id>/preflight.<str:form>": "admin/journals/journal/"
        f"{journal.pk}/preflight.csv",
        "admin/journals/receivablesexport/<int:export_id>/file.<str:form>": "admin/journals/receivablesexport/"
        f"{ReceivablesExport.objects.earliest('pk').pk}/file.csv",
        "admin/journals/journallayout/<int:layout_id>/json/": "admin/journals/journallayout/"
        f"{JournalLayout.objects.earliest('pk').pk}/json/",
        "admin/billing/rateschedule/<int:number>/edit/": "admin/billing/rateschedule/"
        f"{RateSchedule.objects.get(state='draft').pk}/edit/",
        "admin/billing/rateschedule/<int:number>/export/<slug:form>/": "admin/billing/rateschedule/"
        f"{RateSchedule.objects.earliest('pk').pk}/export/csv/",
        "admin/billing/rateschedule/<int:number>/try/": "admin/billing/rateschedule/"
        f"{RateSchedule.objects.earliest('pk').pk}/try/",
        "admin/billing/rateschedule/<int:number>/tried.<slug:form>": "admin/billing/rateschedule/"
        f"{RateSchedule.objects.earliest('pk').pk}/tried.csv",
        # What is kept no longer is said.
        "admin/billing/attributionrule/try/<slug:key>/": f"admin/billing/attributionrule/try/tried-{'0' * 32}/",
        "admin/billing/usagesubsidy/try/<slug:key>/": f"admin/billing/usagesubsidy/try/{a_trial()}/",
        "admin/billing/usagesubsidy/try/<slug:key>/tried.<slug:form>": "admin/billing/usagesubsidy/try/"
        f"{a_trial()}/tried.csv",
        "admin/billing/ratestudy/<int:number>/study.xlsx": "admin/billing/ratestudy/"
        f"{RateStudy.objects.get().pk}/study.xlsx",
        "admin/billing/ratestudy/<int:number>/study.pdf": "admin/billing/ratestudy/"
        f"{RateStudy.objects.get().pk}/study.pdf",
        "accounts/reset/<uidb64>/<token>/": "accounts/reset/MQ/set-password/",
        "help/images/<str:name>": "help/images/month-1440-light.png",
        # One for all; most are for staff alone (tests/openchargeback/test_help.py).
        "help/<path:slug>/": "help/user-guide/portal/",
        "admin/billing/project/<int:number>/try-split/": f"admin/billing/project/{hers.project_id}/try-split/",
        "projects/<int:pk>/": f"projects/{hers.project_id}/",
        "downloads/<int:pk>/": f"downloads/{Job.objects.get(kind=Job.Kind.COLLECT).pk}/",
        "downloads/<int:pk>.xlsx": f"downloads/{Job.objects.get(kind=Job.Kind.COLLECT).pk}.xlsx",
        "delegates/<int:pk>/": f"delegates/{Membership.objects.earliest('pk').pk}/",
        "delegates/<int:pk>/remove/": f"delegates/{Membership.objects.earliest('pk').pk}/remove/",
        "statements/<str:number>/lines/<int:line>/ask/": f"statements/{hers.number}/lines/1/ask/",
        "projects/<int:pk>/propose/": f"projects/{asked.project_id}/propose/",
        "questions/<int:pk>/": f"questions/{asked.pk}/",
        "questions/<int:pk>/withdraw/": f"questions/{asked.pk}/withdraw/",
        "tokens/<int:pk>/revoke/": f"tokens/{ApiToken.objects.get(owner__username='ada').pk}/revoke/",
    }
    if route.startswith("admin/") and "<path:object_id>" in route and route not in places:
        _, app, model, _, *verb = route.strip("/").split("/")
        key = subject_of(apps.get_model(app, model), root, *verb)
        return "/" + route.replace("<path:object_id>", key)
    return "/" + places.get(route, route.replace("<str:number>", hers.number))


def written_down() -> dict[str, tuple[str, str]]:
    """Return for each route of the table what a GET and a POST come to, a letter for each of PEOPLE."""
    rows = [line.split() for line in ADDRESSES.strip().splitlines()]
    return {route[0] if route else "": (get + gets, post + posts) for get, gets, post, posts, *route in rows}


def outcome(response) -> str:
    """Return in one letter what became of a request."""
    if response.status_code == 302:
        return "i" if response.url.startswith(("/accounts/login/", "/admin/login/")) else ">"
    return {200: "o", 401: "k", 403: "x", 404: "-", 405: "m"}[response.status_code]


def test_every_address_has_its_row_and_every_row_its_address():
    assert list(written_down()) == routes()


@pytest.mark.parametrize("who", PEOPLE)
def test_every_address_answers_as_written_down(client, house, who):
    column = PEOPLE.index(who)

    # What somebody may do who holds no role of staff: with a token of their own.
    taken_out = {"statement.downloaded", "import.downloaded", "email.file_downloaded"}
    harmless = {"session.signed_out", "api_token.revoked", *taken_out} | HERS.get(who, set())

    def sign_in():
        if who != "nobody":
            client.force_login(getattr(house, who))

    sign_in()
    before = AuditEvent.objects.count()
    for route, row in written_down().items():
        address = address_of(route, house.admin)
        for method, letters in zip((client.get, client.post), row, strict=True):
            with transaction.atomic():
                response = method(address)
                if response.streaming:
                    # Read to its end, the client closes it; closing it here would close PostgreSQL's connection too.
                    response.getvalue()
                said = f"{method.__name__} {address} as {who}"
                assert outcome(response) == letters[column], said
                done = set(AuditEvent.objects.order_by("pk").values_list("action", flat=True)[before:])
                if column <= PEOPLE.index("viewer") or letters[column] in "ix-m":
                    assert done <= harmless, said
                # What one row does is not there for the next.
                transaction.set_rollback(True)
        if "logout" in route:
            sign_in()
            before = AuditEvent.objects.count()


def test_an_object_of_somebody_else_does_not_exist():
    """Outside the admin, which shows staff everything, an address with an object in it is Ada's and her delegate's."""
    theirs = {
        route: row
        for route, row in written_down().items()
        if "<" in route and not route.startswith(("admin/", "accounts/", "help/", "api/", "tokens/"))
    }
    assert len(theirs) == 15
    for route, (get, post) in theirs.items():
        # Her delegates, and what she had collected, are hers alone. Staff are led to their own page of a statement.
        is_of_both = not route.startswith(("delegates/", "downloads/"))
        staff = ">>>>" if route in OF_STAFF_TOO else "----"
        seen = (f"oo-{staff}", "mmmmmmm") if is_of_both else ("o------", ">------")
        assert get[1:] in seen, route
        asked = post[:3] in ("ioo", "i>>") and post[3:] == "-----"
        assert post == "immmmmmm" or asked or (not is_of_both and post[2:] == "------"), route


# Actions --------------------------------------------------------------------------------------------------------------

CURATE, BIND, EVERY = ("reviewer", "finance", "admin"), ("finance", "admin"), STAFF

ACTIONS = {
    "billing.heldcharge approve": CURATE,
    "billing.heldcharge correct": CURATE,
    "billing.heldcharge reject": CURATE,
    "billing.heldcharge charge_to_center": CURATE,
    "billing.heldcharge undo": CURATE,
    "billing.charge correct": CURATE,
    "billing.charge make_rule": CURATE,
    "billing.charge reject": CURATE,
    "billing.charge charge_to_center": CURATE,
    "billing.charge undo": CURATE,
    "billing.job retry_selected": CURATE,
    "billing.job cancel_selected": CURATE,
    "billing.attributionrule delete_selected": CURATE,
    "billing.cloudaccount delete_selected": CURATE,
    "billing.department delete_selected": CURATE,
    "billing.person delete_selected": CURATE,
    "billing.person confirm": CURATE,
    "billing.project delete_selected": CURATE,
    "billing.customer delete_selected": BIND,
    "billing.rateclassmember delete_selected": BIND,
    "billing.fundingsource delete_selected": BIND,
    "billing.exchangerate delete_selected": BIND,
    "billing.invoicetotal delete_selected": BIND,
    "statements.statement send_selected": CURATE,
    "journals.accountingperiod delete_selected": BIND,
    "journals.accountrule delete_selected": BIND,
    "journals.answermapping delete_selected": BIND,
    "journals.journaltemplate delete_selected": BIND,
}


@pytest.mark.parametrize("who", STAFF)
def test_every_action_is_offered_as_written_down(house, who):
    user = getattr(house, who)
    offered = {
        f"{model._meta.label_lower} {name}"
        for model, screen in admin.site._registry.items()
        for name in screen.get_actions(Asking(user))
    }
    assert offered == {action for action, allowed in ACTIONS.items() if who in allowed}


@pytest.mark.parametrize("who", PEOPLE[1:])
def test_an_action_that_is_not_offered_does_nothing_when_it_is_sent(client, house, who):
    client.force_login(getattr(house, who))
    before = AuditEvent.objects.count()
    for named in (named for named, allowed in ACTIONS.items() if who not in allowed):
        label, action = named.split()
        model = apps.get_model(label)
        confirmed = {"post": "yes", "apply": "yes", "note": "No.", "reason": "other"}
        sent = {"action": action, "_selected_action": [subject_of(model, house.admin)], **confirmed}
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert client.post(url, sent).status_code in (200, 302)
        assert AuditEvent.objects.count() == before, named


# Tasks ----------------------------------------------------------------------------------------------------------------

JOBS = {
    Job.Kind.IMPORT: CURATE,
    Job.Kind.BOOK: CURATE,
    Job.Kind.APPLY: CURATE,
    Job.Kind.ATTRIBUTE: CURATE,
    Job.Kind.DECIDE: CURATE,
    Job.Kind.FUNDS: BIND,
    Job.Kind.CALENDAR: BIND,
    Job.Kind.VALUES: BIND,
    Job.Kind.LOOKUPS: BIND,
    Job.Kind.ACCOUNT_RULES: BIND,
    Job.Kind.PEOPLE: CURATE,
    Job.Kind.GENERATE: CURATE,
    Job.Kind.SEND: CURATE,
    Job.Kind.EXPORT: EVERY,
    Job.Kind.USAGE: CURATE,
    Job.Kind.TRY: EVERY,
    Job.Kind.PROVE: EVERY,
    Job.Kind.DRAFT: CURATE,
    Job.Kind.INVOICE: CURATE,
    # Of what they may see themselves.
    Job.Kind.COLLECT: PEOPLE[1:],
    Job.Kind.TELL: CURATE,
    Job.Kind.REPORT: BIND,
    Job.Kind.PROJECTS: CURATE,
    Job.Kind.DEPARTMENTS: CURATE,
    Job.Kind.RULES: CURATE,
    Job.Kind.ACCOUNTS: CURATE,
    Job.Kind.STATEMENTS: EVERY,
    Job.Kind.REPORT_FILE: EVERY,
    # Of the lists that they may see themselves.
    Job.Kind.LIST: EVERY,
}


def test_every_job_and_task_has_its_row():
    assert set(JOBS) == set(Job.Kind) == set(jobs.kinds._works)
    own = {name for name, each in vars(tasks).items() if getattr(each, "__module__", "") == tasks.__name__}
    assert own == {"run_job", "work_out_month"}


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("kind", JOBS)
def test_every_job_is_done_for_those_written_down(cast, monkeypatch, kind, who):
    done = []
    monkeypatch.setitem(jobs.kinds._works, kind, lambda **given: done.append(given["actor"]) or {})
    # Nobody: what the system asks for by itself.
    user = None if who == "nobody" else getattr(cast, who)
    job = Job.objects.create(kind=kind, created_at=build.NOW, created_by=user)
    jobs.run(job.pk)
    job.refresh_from_db()
    if who in ("nobody", *JOBS[kind]):
        assert (job.state, len(done)) == (Job.State.DONE, 1)
        assert (done[0].user, done[0].via) == (user, "task")
    else:
        assert (job.state, done) == (Job.State.FAILED, [])
        assert "no longer allowed" in job.message
        assert AuditEvent.objects.latest("pk").action == "job.failed"


def test_a_job_of_somebody_switched_off_meanwhile_is_not_done(cast, monkeypatch):
    done = []
    monkeypatch.setitem(jobs.kinds._works, Job.Kind.SEND, lambda **given: done.append(given) or {})
    job = Job.objects.create(kind=Job.Kind.SEND, created_at=build.NOW, created_by=cast.reviewer)
    User.objects.filter(pk=cast.reviewer.pk).update(is_active=False)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, done) == (Job.State.FAILED, [])


# Commands -------------------------------------------------------------------------------------------------------------

ADMIN = ("admin",)

COMMANDS = {
    "accounting_calendar list": EVERY,
    "accounting_calendar add 2025": BIND,
    "accounting_calendar load a.csv": BIND,
    "accounting_calendar set 2025 7 --closes none": BIND,
    "attribute -p 2025-01": CURATE,
    "account_rules load a.csv": BIND,
    "account_rules export -o a.csv": EVERY,
    "attribution_rules try 1": EVERY,
    "attribution_rules load a.csv": CURATE,
    "attribution_rules export -o a.csv": EVERY,
    "audit list": EVERY,
    "audit export": EVERY,
    "backup /elsewhere": ADMIN,
    "cloud_accounts load a.csv": CURATE,
    "cloud_accounts export -o a.csv": EVERY,
    "demo": ADMIN,
    "departments load a.csv": CURATE,
    "departments export -o a.csv": EVERY,
    "dispose --before FY2000": ADMIN,
    "doctor": ADMIN,
    "corrections list": EVERY,
    "corrections show 1": EVERY,
    "corrections add refund --line 1 --reason no": CURATE,
    "corrections approve 1": BIND,
    "corrections reject 1 --note no": BIND,
    "corrections reverse 1 --reason no": CURATE,
    "exchange_rates list": EVERY,
    "exchange_rates set 2025-01 EUR 1.1": BIND,
    "export_journal -p 2025-01": CURATE,
    "export_journal -p 2025-01 --submit": BIND,
    "export_receivables -p 2025-01": CURATE,
    "export_receivables -p 2025-01 --submit": BIND,
    "funds list": EVERY,
    "funds load a.csv": BIND,
    "funds export -o a.csv": EVERY,
    "funds except BIO-001 --valid-until 2025-06-30 --reason no": BIND,
    "funds revoke BIO-001": BIND,
    "generate -p 2025-01": CURATE,
    "generate -p 2025-01 --send": CURATE,
    "imports list": EVERY,
    "imports show 1": EVERY,
    "imports withdraw 1": CURATE,
    "imports book 1 --to 2025-01": CURATE,
    "imports apply 1": CURATE,
    "imports dismiss 1 --reason no": CURATE,
    "ingest a.csv": CURATE,
    "initialize": ADMIN,
    "invoices add -s aws -p 2025-01 --amount 1": BIND,
    "invoices list -p 2025-01": EVERY,
    "jobs list": EVERY,
    "jobs show 1": EVERY,
    "jobs cancel 1": CURATE,
    "jobs retry 1": CURATE,
    "jobs check": EVERY,
    "journal_layouts list": EVERY,
    "journal_layouts presets": EVERY,
    "journal_layouts show x": EVERY,
    "journal_layouts add x --preset peoplesoft": BIND,
    "journal_layouts set x": BIND,
    "journal_layouts release x": BIND,
    "journal_layouts retire x": BIND,
    "journal_layouts discard x": BIND,
    "journals list": EVERY,
    "journals submit 1": BIND,
    "journals accrue 2025-01 --reverse-on 2025-02-01": CURATE,
    "journals post 1 --document 1": BIND,
    "journals answers a.csv -m ledger": BIND,
    "journals mapping ledger --journal a --document b": BIND,
    "journals reject 1 --reason no": BIND,
    "journals reverse 1 --reason no": BIND,
    "lookups list": EVERY,
    "lookups show worktags": EVERY,
    "lookups load a.csv": BIND,
    "lookups remove worktags": BIND,
    "move_database sqlite:////elsewhere.sqlite3": ADMIN,
    "people list": EVERY,
    "people load a.csv": CURATE,
    "people export -o a.csv": EVERY,
    "people confirm ada@u.edu": CURATE,
    "people domains u.edu": BIND,
    "periods list": EVERY,
    "periods show 2025-01": EVERY,
    "periods open 2025-01": CURATE,
    "periods remove 2025-01": CURATE,
    "periods review 2025-01 --until 2025-02-10": CURATE,
    "periods carry 2025-01": BIND,
    "periods recount 2025-01": BIND,
    "periods close 2025-01": BIND,
    "periods reopen 2025-01 --reason no": BIND,
    "periods finalize 2025-01": BIND,
    "preflight 2025-01": EVERY,
    "preflight 2025-01 --acknowledge all": BIND,
    "prepayments list": EVERY,
    "prepayments buy lab -f tiger --pi a@u.edu --quantity 1 --price 1 --fund-org A --reason x": BIND,
    "prepayments recognize -p 2025-01": CURATE,
    "prepayments refund bought --reason x": CURATE,
    "prepayments expire bought --reason x": CURATE,
    "projects load a.csv": CURATE,
    "projects export -o a.csv": EVERY,
    "proof -p 2025-01": EVERY,
    "questions list": EVERY,
    "questions show 1": EVERY,
    "feeds list": EVERY,
    "feeds show tiger": EVERY,
    "feeds add tiger -s hpc --kind slurm": BIND,
    "feeds set tiger --time-zone UTC": BIND,
    "feeds withdraw 1 --reason no": CURATE,
    "usage -f tiger -p 2025-01": CURATE,
    "rates list": EVERY,
    "rates show hpc": EVERY,
    "rates export hpc -o a.csv": EVERY,
    "rates import a.csv --name hpc --from 2025-01": BIND,
    "rates import a.csv --name hpc --from 2025-01 --release": BIND,
    "rates release hpc 1": BIND,
    "rates retire hpc 1 --reason no": BIND,
    "rates try hpc": EVERY,
    "rates discard hpc 1": BIND,
    "rate_study list": EVERY,
    "rate_study add -f tiger --rate cpu --year 2031": BIND,
    "rate_study costs 1 a.csv": BIND,
    "rate_study shared": EVERY,
    "rate_study share a.csv --year 2031": BIND,
    "rate_study show 1": EVERY,
    "rate_study try 1": EVERY,
    "rate_study export 1 -o a.xlsx": EVERY,
    "rate_study adopt 1": BIND,
    "import_legacy a.db": ADMIN,
    "recover_admin root": ADMIN,
    "replay -p 2025-01": EVERY,
    "report value": EVERY,
    "restore a.zip": ADMIN,
    "review list": EVERY,
    "review approve --id 1": CURATE,
    "review reject --id 1 --note no": CURATE,
    "review charge-to-center --id 1": CURATE,
    "review reattribute --id 1 --pi ada@u.edu": CURATE,
    "review undo --id 1": CURATE,
    "review export a.xlsx": CURATE,
    "review apply a.xlsx": CURATE,
    "send_statements -p 2025-01": CURATE,
    "send_statements -p 2025-01 --statement 2025-01-0001-1": CURATE,
    "send_statements --again 1": CURATE,
    "send_statements --arrived 1": CURATE,
    "serve": ADMIN,
    "show ada@u.edu": EVERY,
    "sources list": EVERY,
    "sources sync-status": EVERY,
    "sources add aws": BIND,
    "sources set aws": BIND,
    "splits try genomics --share BIO-001=100": EVERY,
    "subsidies list": EVERY,
    "subsidies try provost --percent 10": EVERY,
    "sync_roles": ADMIN,
    "trace 1": EVERY,
    "valid_values list": EVERY,
    "valid_values show fund": EVERY,
    "valid_values load a.csv": BIND,
    "valid_values remove fund": BIND,
    "upgrade": ADMIN,
    "verify_audit": EVERY,
    "verify_files": EVERY,
    "version": EVERY,
}
# Django's own, for the shell alone, with no --as: there is nobody to ask about.
UNREGULATED = {"flush", "createsuperuser", "changepassword", "qcluster"}


def our_commands() -> dict[str, BillingCommand]:
    found = {
        name: load_command_class(app, name)
        for name, app in get_commands().items()
        if isinstance(app, str) and app in ("billing", "statements", "journals", "openchargeback")
    }
    assert {name for name, each in found.items() if not isinstance(each, BillingCommand)} == UNREGULATED
    return {name: each for name, each in found.items() if isinstance(each, BillingCommand)}


def test_every_command_has_its_row_and_every_row_its_command():
    every = set()
    for name, command in our_commands().items():
        verbs = [each.prog.split()[-1] for each in subparsers_of(command.create_parser("manage.py", name))]
        every |= {f"{name} {verb}" for verb in verbs} or {name}
    listed = set()
    for words in COMMANDS:
        name, *rest = words.split()
        listed.add(f"{name} {rest[0]}" if f"{name} {''.join(rest[:1])}" in every else name)
    assert listed == every


@pytest.mark.parametrize("who", PEOPLE)
def test_every_command_is_done_in_the_name_of_those_written_down(cast, monkeypatch, who):
    """Nobody is the shell, named with no --as: it may do everything, as the system."""
    for words, allowed in COMMANDS.items():
        name, *rest = words.split()
        command, done = our_commands()[name], []
        monkeypatch.setattr(type(command), "run", lambda self, done=done, **options: done.append(self.actor))
        named = [] if who == "nobody" else ["--as", getattr(cast, who).username]
        refused = ""
        try:
            call_command(command, *rest, *named, stdout=io.StringIO())
        except CommandError as error:
            refused = str(error)
        if who in ("nobody", *allowed):
            assert (refused, len(done)) == ("", 1), words
            assert (done[0].user, done[0].via) == (None if who == "nobody" else getattr(cast, who), "command")
        else:
            assert "may not do this: it takes the permission" in refused, words
            assert done == [], words


def test_a_refused_command_says_which_roles_may(cast):
    with pytest.raises(CommandError, match=r"vera may not do this.*billing\.close_period \(held by admin, finance\)"):
        call_command("periods", "close", "2025-01", "--as", "vera")


def test_nobody_acts_as_somebody_switched_off(cast):
    User.objects.filter(pk=cast.finance.pk).update(is_active=False)
    with pytest.raises(CommandError, match="The account fay is switched off"):
        call_command("periods", "open", "2025-01", "--as", "fay")
    assert not BillingPeriod.objects.exists()
